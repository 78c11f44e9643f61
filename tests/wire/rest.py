"""Discord's REST endpoints that a bot of ours needs, with the rules its documentation gives for each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import definitions, messages
from .gateway import DIRECT_MESSAGES, GUILD_MESSAGES
from .http import Handler
from .world import (
    ATTACH_FILES,
    EPHEMERAL,
    LOADING,
    SEND_MESSAGES,
    VIEW_CHANNEL,
    Channel,
    Fault,
    Interaction,
    Json,
    Message,
    Request,
    snowflake,
)

if TYPE_CHECKING:
    from .server import Server

COMMANDS = "/applications/{application_id}/commands"
GUILD_COMMANDS = "/applications/{application_id}/guilds/{guild_id}/commands"
HOOK = "/webhooks/{webhook_id}/{webhook_token}"
POSTS = "/channels/{channel_id}/messages"
ALLOWED = {2: (4, 5, 9), 3: (4, 5, 6, 7, 9), 4: (8,), 5: (4, 5, 6, 7)}  # callback types by interaction type
NONCE_SECONDS = 180.0


class Rest:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.creates = 0
        self._nonces: dict[tuple[int, str], Message] = {}

    def handlers(self) -> dict[str, Handler]:
        return {
            "GET /users/@me": self.me,
            "GET /users/{user_id}": self.user,
            "POST /users/@me/channels": self.open_dm,
            "GET /applications/@me": self.application,
            "GET /oauth2/applications/@me": self.application,
            "GET /gateway": lambda request: (200, {"url": self.server.gateway.url}),
            "GET /gateway/bot": self.gateway_bot,
            f"GET {COMMANDS}": self.list_commands,
            f"PUT {COMMANDS}": self.put_commands,
            f"GET {GUILD_COMMANDS}": self.list_commands,
            f"PUT {GUILD_COMMANDS}": self.put_commands,
            "POST /interactions/{interaction_id}/{interaction_token}/callback": self.callback,
            f"POST {HOOK}": self.follow_up,
            f"GET {HOOK}/messages/@original": self.get_hooked,
            f"PATCH {HOOK}/messages/@original": self.edit_hooked,
            f"DELETE {HOOK}/messages/@original": self.delete_hooked,
            f"GET {HOOK}/messages/{{message_id}}": self.get_hooked,
            f"PATCH {HOOK}/messages/{{message_id}}": self.edit_hooked,
            f"DELETE {HOOK}/messages/{{message_id}}": self.delete_hooked,
            "GET /channels/{channel_id}": lambda request: (200, self._channel(request).json()),
            "POST /channels/{channel_id}/typing": lambda request: (204, None),
            f"GET {POSTS}": self.history,
            f"POST {POSTS}": self.post,
            f"GET {POSTS}/{{message_id}}": lambda request: (200, self._posted(request).json()),
            f"PATCH {POSTS}/{{message_id}}": self.edit_posted,
            f"DELETE {POSTS}/{{message_id}}": self.delete_posted,
        }

    # the bot itself

    def me(self, request: Request) -> tuple[int, Json]:
        return 200, self.server.bot.json() | {"mfa_enabled": False, "locale": "en-US", "verified": True}

    def user(self, request: Request) -> tuple[int, Json]:
        found = [user for user in self.server.users if str(user.id) == request.parameters["user_id"]]
        if not found:
            raise Fault(404, 10013, "Unknown User")
        return 200, found[0].json()

    def application(self, request: Request) -> tuple[int, Json]:
        return 200, {
            "id": str(self.server.bot.id), "name": self.server.bot.name, "icon": None, "description": "", "type": None,
            "bot": self.server.bot.json(), "bot_public": True, "bot_require_code_grant": False, "verify_key": "00",
            "flags": 0, "flags_new": "0", "redirect_uris": [], "interactions_endpoint_url": None, "team": None,
            "role_connections_verification_url": None, "owner": self.server.guild.owner.json(),
            "approximate_guild_count": 1, "approximate_user_install_count": 0, "explicit_content_filter": 0,
            "approximate_user_authorization_count": 0, "eligible_oauth2_scopes": [],
        }  # fmt: skip

    def gateway_bot(self, request: Request) -> tuple[int, Json]:
        starts = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        return 200, {"url": self.server.gateway.url, "shards": 1, "session_start_limit": starts}

    def open_dm(self, request: Request) -> tuple[int, Json]:
        found = [user for user in self.server.users if str(user.id) == str(request.json.get("recipient_id"))]
        if not found:
            raise Fault(400, 50033, "Invalid Recipient(s)")
        return 200, self.server.dm(found[0]).json()

    # commands

    def list_commands(self, request: Request) -> tuple[int, Json]:
        return 200, list(self.server.commands.get(self._scope(request), {}).values())

    def put_commands(self, request: Request) -> tuple[int, Json]:
        guild, given = self._scope(request), request.json or []
        definitions.check(given)
        old = self.server.commands.get(guild, {})
        keys = [(command.get("type", 1), command["name"]) for command in given]
        self.creates += sum(key not in old for key in keys)
        if self.creates > 200:
            raise Fault(400, 30034, "Max number of daily application command creates has been reached (200)")
        application = self.server.bot.id
        self.server.commands[guild] = {
            key: definitions.stored(command, int(old[key]["id"]) if key in old else snowflake(), application, guild)
            for key, command in zip(keys, given, strict=True)
        }
        return self.list_commands(request)

    def _scope(self, request: Request) -> int | None:
        if request.parameters["application_id"] != str(self.server.bot.id):
            raise Fault(403, 20012, "You are not authorized to perform this action on this application")
        guild = request.parameters.get("guild_id")
        if guild is not None and guild != str(self.server.guild.id):
            raise Fault(403, 50001, "Missing Access")
        return None if guild is None else int(guild)

    # interactions

    def callback(self, request: Request) -> tuple[int, Json]:
        one = self.server.interactions.get(request.parameters["interaction_token"])
        if one is None or str(one.id) != request.parameters["interaction_id"]:
            raise Fault(404, 10062, "Unknown interaction")
        if one.answer is not None:
            raise Fault(400, 40060, "Interaction has already been acknowledged.")
        after = time.monotonic() - one.at
        if after > self.server.ack_window:
            raise Fault(404, 10062, "Unknown interaction")
        kind, data = request.json["type"], request.json.get("data") or {}
        if kind not in ALLOWED[one.type] or (one.type == 5 and kind in (6, 7) and one.message is None):
            errors = {"type": {"_errors": [{"code": "INVALID", "message": f"callback {kind} for type {one.type}"}]}}
            raise Fault(400, 50035, "Invalid Form Body", errors)
        self._carry_out(one, kind, data, request)
        one.answer, one.answered_after = kind, after
        message = one.original
        value: Json = {"id": str(one.id), "type": one.type, "channel_id": str(one.channel.id)}
        if one.channel.guild_id:
            value["guild_id"] = str(one.channel.guild_id)
        if message is not None:
            value |= {"response_message_id": str(message.id), "response_message_loading": message.loading}
            value["response_message_ephemeral"] = message.ephemeral
        if request.query.get("with_response") not in ("1", "true"):
            return 204, None
        resource = {"resource": {"type": kind, "message": message.json()}} if message and kind in (4, 7) else {}
        return 200, {"interaction": value} | resource

    def _carry_out(self, one: Interaction, kind: int, data: Json, request: Request) -> None:
        if kind in (4, 5):
            flags = (data.get("flags") or 0) & EPHEMERAL
            message = Message(one.channel, self.server.bot, flags=flags, interaction=one)
            if kind == 5:
                if set(data) - {"flags"} or (data.get("flags") or 0) & ~EPHEMERAL:
                    raise Fault(400, 50035, "A deferred answer carries the ephemeral flag and nothing else")
                message.flags |= LOADING
                message.versions.append(message.json())
            else:
                messages.write(message, data, request.files, self.server.base)
            one.original = message
            self._arrived(message)
        elif kind == 6:
            one.original = one.message
        elif kind == 7:
            assert one.message is not None
            self._edit(one.message, request, data)
            one.original = one.message
        elif kind == 8:
            one.choices = data.get("choices") or []
        elif kind == 9:
            one.modal = data

    def follow_up(self, request: Request) -> tuple[int, Json]:
        one, payload = self._hook(request), request.json
        if one.original is not None and one.original.loading and not one.original.deleted:
            return 200, self._edit(one.original, request, payload).json()  # the first one after a defer
        flags = (payload.get("flags") or 0) & EPHEMERAL
        message = Message(one.channel, self.server.bot, flags=flags, interaction=one)
        messages.write(message, payload, request.files, self.server.base)
        one.followups.append(message)
        self._arrived(message)
        return 200, message.json()

    def get_hooked(self, request: Request) -> tuple[int, Json]:
        return 200, self._hooked(request).json()

    def edit_hooked(self, request: Request) -> tuple[int, Json]:
        return 200, self._edit(self._hooked(request), request, request.json).json()

    def delete_hooked(self, request: Request) -> tuple[int, Json]:
        return self._delete(self._hooked(request))

    def _hook(self, request: Request) -> Interaction:
        one = self.server.interactions.get(request.parameters["webhook_token"])
        if one is None or request.parameters["webhook_id"] != str(self.server.bot.id) or one.answer is None:
            raise Fault(404, 10015, "Unknown Webhook")
        if time.monotonic() - one.at > self.server.token_life:
            raise Fault(401, 50027, "Invalid Webhook Token")
        return one

    def _hooked(self, request: Request) -> Message:
        one, wanted = self._hook(request), request.parameters.get("message_id")
        for message in one.messages:
            if (message is one.original and wanted is None) or str(message.id) == wanted:
                return message
        raise Fault(404, 10008, "Unknown Message")

    # channels

    def history(self, request: Request) -> tuple[int, Json]:
        channel = self._channel(request)
        shown = [m for m in self.server.messages if m.channel is channel and not (m.deleted or m.ephemeral)]
        limit, query = int(request.query.get("limit", 50)), request.query
        shown = [m for m in shown if m.id < int(query.get("before", m.id + 1)) and m.id > int(query.get("after", 0))]
        return 200, [message.json() for message in sorted(shown, key=lambda m: -m.id)[:limit]]

    def post(self, request: Request) -> tuple[int, Json]:
        channel, payload = self._channel(request), request.json
        self._may(SEND_MESSAGES | (ATTACH_FILES if request.files else 0))
        if channel.recipient in self.server.closed_dms:
            raise Fault(403, 50007, "Cannot send messages to this user")
        nonce = None if payload.get("nonce") is None else str(payload["nonce"])
        known = self._nonces.get((channel.id, nonce)) if nonce and payload.get("enforce_nonce") else None
        if known is not None and time.time() * 1000 - (known.id >> 22) - 1420070400000 < NONCE_SECONDS * 1000:
            return 200, known.json()
        message = Message(channel, self.server.bot, nonce=nonce, reference=self._reference(channel, payload))
        messages.write(message, payload, request.files, self.server.base)
        if nonce:
            self._nonces[channel.id, nonce] = message
        self._arrived(message)
        return 200, message.json()

    def edit_posted(self, request: Request) -> tuple[int, Json]:
        message = self._posted(request)
        if message.author is not self.server.bot:
            raise Fault(403, 50005, "Cannot edit a message authored by another user")
        return 200, self._edit(message, request, request.json).json()

    def delete_posted(self, request: Request) -> tuple[int, Json]:
        return self._delete(self._posted(request))

    def _channel(self, request: Request) -> Channel:
        for channel in [*self.server.guild.channels, *self.server.dms.values()]:
            if str(channel.id) == request.parameters["channel_id"]:
                self._may(VIEW_CHANNEL)
                return channel
        raise Fault(404, 10003, "Unknown Channel")

    def _may(self, needed: int) -> None:
        if needed & VIEW_CHANNEL and not self.server.bot.permissions & VIEW_CHANNEL:
            raise Fault(403, 50001, "Missing Access")
        if needed & ~self.server.bot.permissions:
            raise Fault(403, 50013, "Missing Permissions")

    def _posted(self, request: Request) -> Message:
        channel = self._channel(request)
        for message in self.server.messages:
            here = message.channel is channel and not (message.deleted or message.ephemeral)
            if here and str(message.id) == request.parameters["message_id"]:
                return message
        raise Fault(404, 10008, "Unknown Message")

    def _reference(self, channel: Channel, payload: Json) -> Json:
        given = payload.get("message_reference")
        if not given:
            return None
        known = any(str(m.id) == str(given["message_id"]) and not m.deleted for m in self.server.messages)
        if not known and given.get("fail_if_not_exists", True):
            errors = {"message_reference": {"_errors": [{"code": "REPLIES_UNKNOWN_MESSAGE", "message": "Unknown"}]}}
            raise Fault(400, 50035, "Invalid Form Body", errors)
        return {"type": 0, "channel_id": str(channel.id), "message_id": str(given["message_id"])} if known else None

    # what happens to messages

    def _arrived(self, message: Message) -> None:
        self.server.messages.append(message)
        self._tell("MESSAGE_CREATE", message)

    def _edit(self, message: Message, request: Request, payload: Json) -> Message:
        messages.write(message, payload, request.files, self.server.base)
        self._tell("MESSAGE_UPDATE", message)
        return message

    def _delete(self, message: Message) -> tuple[int, Json]:
        message.deleted = True
        self._tell("MESSAGE_DELETE", message)
        return 204, None

    def _tell(self, event: str, message: Message) -> None:
        if message.ephemeral:
            return
        guild = message.channel.guild_id
        data = message.json() if event != "MESSAGE_DELETE" else {"id": str(message.id)}
        data["channel_id"] = str(message.channel.id)
        if guild:
            data["guild_id"] = str(guild)
        self.server.gateway.dispatch(event, data, GUILD_MESSAGES if guild else DIRECT_MESSAGES)
