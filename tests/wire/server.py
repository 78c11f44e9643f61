"""The loopback Discord as tests use it: start it, act as a member, look at what the bot did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

from aiohttp import web

from .gateway import Gateway, Session
from .http import Http, Injected
from .rest import Rest
from .world import ATTACHMENT_LIMIT, Attachment, Channel, Guild, Interaction, Json, Message, Request, User, walk

T = TypeVar("T")
TOKEN = "wire-test-token"


class Server:
    """A Discord with one guild, one channel, alice, bob, and a bot that is invited already."""

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.ack_window, self.token_life = 3.0, 900.0  # seconds
        self.bot = User("loraloom", bot=True)
        self.alice, self.bob = User("alice"), User("bob")
        self.guild = Guild(owner=self.alice, members=[self.alice, self.bob, self.bot])
        self.channel = Channel("general", self.guild.id)
        self.guild.channels.append(self.channel)
        self.dms: dict[User, Channel] = {}
        self.closed_dms: set[User | None] = set()
        self.commands: dict[int | None, dict[tuple[int, str], Json]] = {}  # by guild id, None: global
        self.interactions: dict[str, Interaction] = {}  # by token
        self.messages: list[Message] = []
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.uploads: dict[str, Attachment] = {}  # what members attached, by id
        self.base = ""
        self.notes: list[Callable[[], str]] = []  # what a failed wait tells as well
        self._pulse = asyncio.Event()
        self.gateway = Gateway(token, self._greeting, self.changed)
        self.gateway.violations = self.violations
        self.http = Http(self, Rest(self).handlers())
        self._runner: web.AppRunner | None = None

    # life

    async def start(self) -> None:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_get("/gateway/", self.gateway.handle)
        application.router.add_get("/attachments/{channel}/{attachment}/{name}", self._attachment)
        application.router.add_route("*", "/api/v10/{rest:.*}", self.http.handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        self.base, self.gateway.url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/gateway/"

    async def stop(self) -> None:
        self.gateway.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def api(self) -> str:
        """What LORALOOM_DISCORD_API is set to."""
        return f"{self.base}/api/v10"

    # acting as a member

    async def slash(
        self, command: str, /, *, user: User | None = None, channel: Channel | None = None, **options: Any
    ) -> Interaction:
        """Sends `/command`, for example `imagine` or `lora list`. Files are given as (name, bytes)."""
        return self._command(command, 2, user, channel, options)

    async def complete(
        self, command: str, option: str, typed: str, /, *, user: User | None = None, **options: Any
    ) -> list[Json]:
        """The choices that the bot offers while `typed` stands in `option`."""
        interaction = self._command(command, 4, user, None, options | {option: typed}, focused=option)
        return (await self.acknowledged(interaction)).choices

    async def press(self, message: Message, label: str, /, *, user: User | None = None) -> Interaction:
        """Presses the button with this label, or emoji where it has no label."""
        assert label in message.buttons, f"no button {label!r} among {sorted(message.buttons)}"
        return self._component(message, message.buttons[label], user, {})

    async def choose(self, message: Message, *values: str, user: User | None = None) -> Interaction:
        """Chooses in the only select of a message."""
        selects = [c for c in walk(message.components) if c["type"] in (3, 5, 6, 7, 8)]
        assert len(selects) == 1, f"{len(selects)} selects"
        return self._component(message, selects[0], user, {"values": list(values)})

    async def submit(self, opened: Interaction, /, **fields: str) -> Interaction:
        """Sends the modal that an interaction opened; fields by custom_id."""
        assert opened.modal is not None, "no modal was opened"
        inputs = {c["custom_id"]: c for c in walk(opened.modal["components"]) if "custom_id" in c}
        assert fields.keys() <= inputs.keys(), f"the fields are {sorted(inputs)}"
        components = [_filled(component, fields) for component in opened.modal["components"]]
        data = {"custom_id": opened.modal["custom_id"], "components": components, "resolved": {}}
        return self._interact(Interaction(5, opened.user, opened.channel, data, opened.message, opened_by=opened))

    def dm(self, user: User) -> Channel:
        return self.dms.setdefault(user, Channel(user.name, None, recipient=user))

    @property
    def users(self) -> list[User]:
        return self.guild.members

    # looking

    async def until(self, condition: Callable[[], T], timeout: float, what: str) -> T:  # noqa: ASYNC109
        """Waits until the condition holds and gives its value; fails with the last requests otherwise."""
        try:
            async with asyncio.timeout(timeout):
                while not (value := condition()):
                    await self._pulse.wait()
        except TimeoutError:
            told = [f"{r.method} {r.path} -> {r.status}" for r in self.requests[-12:]]
            more = "\n".join(note() for note in self.notes)
            raise AssertionError(f"not within {timeout:g} s: {what}. Last requests: {told}\n{more}") from None
        return value

    async def ready(self, timeout: float = 20.0) -> Session:  # noqa: ASYNC109
        """Waits for the first IDENTIFY of a bot."""
        return await self.until(lambda: self.gateway.sessions and self.gateway.session, timeout, "an IDENTIFY") or _no()

    async def acknowledged(self, interaction: Interaction) -> Interaction:
        """Waits for the first answer, which has to come in time."""
        left = self.ack_window + 0.5
        await self.until(lambda: interaction.answer is not None, left, f"an answer to {interaction.data}")
        return interaction

    async def message_with(self, predicate: Callable[[Message], Any], timeout: float = 30.0) -> Message:  # noqa: ASYNC109
        """Waits for a message, new or edited, that is not deleted and for which the predicate holds."""

        def found() -> Message | None:
            return next((m for m in self.messages if not m.deleted and predicate(m)), None)

        return await self.until(found, timeout, "a message with that") or _no()

    def sent(self, route: str) -> list[Request]:
        """The bot's requests on one route, for example `PUT /applications/{application_id}/commands`."""
        return [request for request in self.requests if request.route == route]

    def next_answer(self, route: str, status: int | str | None = None, **how: Any) -> Injected:
        """The next answer here is `status`; "reset" resets before the work is done, "lost" after it, None delays."""
        self.http.injected.append(injected := Injected(route, status, **how))
        return injected

    def complain(self, text: str) -> None:
        self.violations.append(text)

    def take_violations(self) -> list[str]:
        """What broke a rule so far, for tests that break one on purpose."""
        taken, self.violations[:] = list(self.violations), []
        return taken

    def changed(self) -> None:
        self._pulse.set()
        self._pulse = asyncio.Event()

    # inside

    def _greeting(self, session: Session) -> list[tuple[str, Json]]:
        ready: Json = {
            "v": 10, "user": self.bot.json(), "session_id": session.id, "resume_gateway_url": self.gateway.url,
            "guilds": [{"id": str(self.guild.id), "unavailable": True}], "private_channels": [],
            "application": {"id": str(self.bot.id), "flags": 0},
        }  # fmt: skip
        if "shard" in session.identify:
            ready["shard"] = session.identify["shard"]
        return [("READY", ready), *([("GUILD_CREATE", self.guild.json())] if session.intents & 1 else [])]

    def _command(
        self,
        name: str,
        kind: int,
        user: User | None,
        channel: Channel | None,
        options: Mapping[str, Any],
        focused: str = "",
    ) -> Interaction:
        head, *path = name.split(" ")
        scopes = [self.commands.get(scope, {}) for scope in (self.guild.id, None)]
        command = next((scope[1, head] for scope in scopes if (1, head) in scope), None)
        assert command is not None, f"/{head} is not synced; there are {[key for scope in scopes for key in scope]}"
        user, channel = user or self.alice, channel or self.channel
        needed = int(command["default_member_permissions"] or 0)
        assert user.permissions & needed == needed, f"{user.name} does not see /{head}"
        resolved: Json = {}
        node, outer = command, []
        for part in path:
            node = next(option for option in node["options"] if option["name"] == part)
            outer.append(node)
        values = self._options(node.get("options") or [], options, focused, resolved)
        for level in reversed(outer):
            values = [{"name": level["name"], "type": level["type"], "options": values}]
        data = {"id": command["id"], "name": head, "type": 1, "options": values}
        if command.get("guild_id"):
            data["guild_id"] = command["guild_id"]
        return self._interact(Interaction(kind, user, channel, data | ({"resolved": resolved} if resolved else {})))

    def _options(self, known: list[Json], given: Mapping[str, Any], focused: str, resolved: Json) -> list[Json]:
        assert given.keys() <= {option["name"] for option in known}, f"the options are {[o['name'] for o in known]}"
        values = []
        for option in known:
            name = option["name"]
            if name not in given:
                assert focused or not option.get("required"), f"{name} is required"
                continue
            value = given[name]
            if isinstance(value, tuple):
                value = self._upload(value[0], value[1], resolved)
            elif isinstance(value, User):
                resolved.setdefault("users", {})[str(value.id)] = value.json()
                member = {k: v for k, v in value.member(permissions=True).items() if k not in ("user", "deaf", "mute")}
                resolved.setdefault("members", {})[str(value.id)] = member
                value = str(value.id)
            elif option.get("choices"):
                value = next(c["value"] for c in option["choices"] if value in (c["name"], c["value"]))
            if name != focused:
                _check(option, value)
            else:
                assert option.get("autocomplete"), f"{name} has no autocomplete"
            values.append({"name": name, "type": option["type"], "value": value})
            if name == focused:
                values[-1]["focused"] = True
        return values

    def _upload(self, name: str, data: bytes, resolved: Json) -> str:
        attachment = Attachment(name, data, "", "image/png" if name.endswith(".png") else "application/octet-stream")
        attachment.url = f"{self.base}/attachments/{self.channel.id}/{attachment.id}/{name}?ex=0&is=0&hm=0"
        self.uploads[str(attachment.id)] = attachment
        resolved.setdefault("attachments", {})[str(attachment.id)] = attachment.json()
        return str(attachment.id)

    def _component(self, message: Message, component: Json, user: User | None, more: Json) -> Interaction:
        assert not component.get("disabled"), f"{component} is disabled"
        assert not message.deleted, "the message is deleted"
        data = {"component_type": component["type"], "custom_id": component["custom_id"], "id": component["id"]}
        return self._interact(Interaction(3, user or self.alice, message.channel, data | more, message))

    def _interact(self, interaction: Interaction) -> Interaction:
        self.interactions[interaction.token] = interaction
        user, channel = interaction.user, interaction.channel
        event: Json = {
            "id": str(interaction.id), "application_id": str(self.bot.id), "type": interaction.type, "version": 1,
            "data": interaction.data, "token": interaction.token, "channel_id": str(channel.id),
            "channel": channel.json(), "app_permissions": str(self.bot.permissions), "locale": "en-US",
            "entitlements": [], "attachment_size_limit": ATTACHMENT_LIMIT, "context": 0 if channel.guild_id else 1,
            "authorizing_integration_owners": interaction.metadata()["authorizing_integration_owners"],
        }  # fmt: skip
        if channel.guild_id:
            event |= {"guild_id": str(channel.guild_id), "guild_locale": "en-US"}
            event["guild"] = {"id": str(channel.guild_id), "locale": "en-US", "features": []}
            event["channel"]["permissions"] = str(user.permissions)
            event["member"] = user.member(permissions=True)
        else:
            event["user"] = user.json()
        if interaction.message is not None:
            event["message"] = interaction.message.json()
        self.gateway.dispatch("INTERACTION_CREATE", event)
        return interaction

    async def _attachment(self, request: web.Request) -> web.Response:
        known = {str(a.id): a for message in self.messages for a in message.attachments} | self.uploads
        found = known.get(request.match_info["attachment"])
        if found is None or found.filename != request.match_info["name"]:
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(body=found.data, content_type=found.content_type)


def _check(option: Json, value: Any) -> None:
    """Discord's client sends nothing that the definition forbids."""
    kinds: dict[int, tuple[type, ...]] = {3: (str,), 4: (int,), 5: (bool,), 10: (int, float)}
    assert isinstance(value, kinds.get(option["type"], (str,))), f"{option['name']} cannot be {value!r}"
    if option["type"] in (4, 10):
        low, high = option.get("min_value", value), option.get("max_value", value)
        assert low <= value <= high, f"{option['name']} is {value}, allowed are {low} to {high}"
    if option["type"] == 3:
        assert len(str(value)) <= option.get("max_length", 6000), f"{option['name']} is too long"


def _filled(component: Json, fields: Mapping[str, str]) -> Json:
    """A modal's component as it comes back with values in it."""
    back = {"type": component["type"], "id": component.get("id") or 1}
    if "component" in component:
        back["component"] = _filled(component["component"], fields)
    if "components" in component:
        back["components"] = [_filled(child, fields) for child in component["components"]]
    if "custom_id" in component:
        value = fields.get(component["custom_id"], component.get("value") or "")
        back["custom_id"] = component["custom_id"]
        back |= {"value": value} if component["type"] == 4 else {"values": [value] if value else []}
    return back


def _no() -> Any:
    raise AssertionError("nothing came")
