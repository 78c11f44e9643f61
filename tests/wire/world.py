"""Who and what there is on the loopback Discord, and how each of them looks in JSON."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = Any
EPHEMERAL, LOADING, COMPONENTS_V2 = 1 << 6, 1 << 7, 1 << 15
VIEW_CHANNEL, SEND_MESSAGES, ATTACH_FILES = 1 << 10, 1 << 11, 1 << 15
MEMBER_PERMISSIONS = (
    VIEW_CHANNEL | SEND_MESSAGES | ATTACH_FILES | 1 << 14 | 1 << 16 | 1 << 31
)  # links, history, commands
ATTACHMENT_LIMIT = 10 * 1024 * 1024
EPOCH = 1420070400000

_counter = itertools.count(1)


def snowflake() -> int:
    """discord.py reads the time of an interaction out of its id, so the time in it is the real one."""
    return (int(time.time() * 1000) - EPOCH) << 22 | (next(_counter) & 0x3FFFFF)


def timestamp(moment: float | None = None) -> str:
    return datetime.fromtimestamp(time.time() if moment is None else moment, UTC).isoformat()


class Fault(Exception):
    """An answer that is an error of Discord's. `errors` are the nested field errors of 50035."""

    def __init__(self, status: int, code: int, message: str, errors: Json = None) -> None:
        super().__init__(f"{status}/{code} {message}" + (f" {errors}" if errors else ""))
        self.status, self.code = status, code
        self.body = {"message": message, "code": code} | ({"errors": errors} if errors else {})


class FieldErrors:
    """Collects what is wrong with the fields of a body, in Discord's nested form."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}

    def add(self, path: tuple[Any, ...], code: str, message: str) -> None:
        node = self.tree
        for part in path:
            node = node.setdefault(str(part), {})
        node.setdefault("_errors", []).append({"code": code, "message": message})

    def raise_any(self) -> None:
        if self.tree:
            raise Fault(400, 50035, "Invalid Form Body", self.tree)


@dataclass(eq=False)
class User:
    name: str
    bot: bool = False
    permissions: int = MEMBER_PERMISSIONS
    id: int = field(default_factory=snowflake)

    def json(self) -> Json:
        return {
            "id": str(self.id), "username": self.name, "discriminator": "0", "avatar": None, "global_name": self.name,
            "public_flags": 0, "flags": 0, "bot": self.bot, "system": False, "primary_guild": None,
        }  # fmt: skip

    def member(self, *, permissions: bool = False) -> Json:
        member = {
            "user": self.json(), "roles": [], "flags": 0, "joined_at": "2026-01-01T00:00:00+00:00", "nick": None,
            "avatar": None, "banner": None, "premium_since": None, "deaf": False, "mute": False, "pending": False,
            "communication_disabled_until": None,
        }  # fmt: skip
        return member | ({"permissions": str(self.permissions)} if permissions else {})


@dataclass(eq=False)
class Channel:
    """A text channel, or with `recipient` a direct message channel."""

    name: str
    guild_id: int | None
    recipient: User | None = None
    id: int = field(default_factory=snowflake)

    def json(self) -> Json:
        if self.recipient is not None:
            return {"id": str(self.id), "type": 1, "flags": 0, "recipients": [self.recipient.json()]}
        return {
            "id": str(self.id), "type": 0, "guild_id": str(self.guild_id), "name": self.name, "position": 0,
            "parent_id": None, "topic": None, "nsfw": False, "last_message_id": None, "rate_limit_per_user": 0,
            "flags": 0, "permission_overwrites": [],
        }  # fmt: skip


@dataclass(eq=False)
class Guild:
    owner: User
    name: str = "atelier"
    id: int = field(default_factory=snowflake)
    members: list[User] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)

    def json(self) -> Json:
        everyone = {
            "id": str(self.id), "name": "@everyone", "permissions": str(MEMBER_PERMISSIONS), "position": 0, "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None}, "hoist": False,
            "managed": False, "mentionable": False, "icon": None, "unicode_emoji": None, "flags": 0,
        }  # fmt: skip
        return {
            "id": str(self.id), "name": self.name, "icon": None, "splash": None, "banner": None,
            "discovery_splash": None, "owner_id": str(self.owner.id), "afk_channel_id": None, "afk_timeout": 300,
            "verification_level": 1, "default_message_notifications": 1, "explicit_content_filter": 0, "mfa_level": 0,
            "nsfw_level": 0, "application_id": None, "system_channel_id": None, "system_channel_flags": 0,
            "rules_channel_id": None, "public_updates_channel_id": None, "safety_alerts_channel_id": None,
            "vanity_url_code": None, "description": None, "premium_tier": 0, "premium_subscription_count": 0,
            "premium_progress_bar_enabled": False, "preferred_locale": "en-US", "features": [], "roles": [everyone],
            "emojis": [], "stickers": [], "joined_at": "2026-01-01T00:00:00+00:00", "large": False,
            "unavailable": False, "member_count": len(self.members),
            "members": [user.member() for user in self.members],
            "channels": [channel.json() for channel in self.channels], "threads": [], "presences": [],
            "voice_states": [], "stage_instances": [], "guild_scheduled_events": [], "soundboard_sounds": [],
        }  # fmt: skip


@dataclass(eq=False)
class Attachment:
    filename: str
    data: bytes = field(repr=False)
    url: str
    content_type: str
    description: str | None = None
    width: int | None = None
    height: int | None = None
    ephemeral: bool = False
    id: int = field(default_factory=snowflake)

    def json(self) -> Json:
        value = {
            "id": str(self.id), "filename": self.filename, "size": len(self.data), "url": self.url,
            "proxy_url": self.url, "content_type": self.content_type, "description": self.description,
            "width": self.width, "height": self.height, "ephemeral": self.ephemeral or None,
        }  # fmt: skip
        return {key: item for key, item in value.items() if item is not None}


@dataclass(eq=False)
class Message:
    """A message as it is now; `versions` are its JSON forms, first to latest."""

    channel: Channel
    author: User
    id: int = field(default_factory=snowflake)
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    nonce: str | None = None
    edited: float | None = None
    deleted: bool = False
    interaction: Interaction | None = None
    reference: Json = None
    versions: list[Json] = field(default_factory=list, repr=False)

    @property
    def loading(self) -> bool:
        return bool(self.flags & LOADING)

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def text(self) -> str:
        """Everything a member reads in it: content, text displays, embeds."""
        shown = [self.content, *(c["content"] for c in walk(self.components) if c["type"] == 10)]
        for embed in self.embeds:
            shown += [embed.get("title", ""), embed.get("description", "")]
            shown += [f"{entry['name']}: {entry['value']}" for entry in embed.get("fields", [])]
            shown.append(embed.get("footer", {}).get("text", ""))
        return "\n".join(part for part in shown if part)

    @property
    def parts(self) -> list[Json]:
        """Every component, at any depth."""
        return walk(self.components)

    @property
    def buttons(self) -> dict[str, Json]:
        """Buttons by label, or by emoji where they have no label."""
        found = [c for c in walk(self.components) if c["type"] == 2]
        return {c.get("label") or c.get("emoji", {}).get("name", ""): c for c in found}

    def json(self) -> Json:
        value: Json = {
            "id": str(self.id), "channel_id": str(self.channel.id), "type": 0, "content": self.content,
            "author": self.author.json(), "timestamp": timestamp(((self.id >> 22) + EPOCH) / 1000),
            "edited_timestamp": None if self.edited is None else timestamp(self.edited), "tts": False,
            "mention_everyone": False, "mentions": [], "mention_roles": [], "pinned": False, "flags": self.flags,
            "attachments": [attachment.json() for attachment in self.attachments], "embeds": self.embeds,
            "components": self.components,
        }  # fmt: skip
        if self.nonce is not None:
            value["nonce"] = self.nonce
        if self.reference is not None:
            value |= {"message_reference": self.reference, "type": 19}
        if self.interaction is not None:
            value |= {"webhook_id": str(self.author.id), "application_id": str(self.author.id)}
            value["interaction_metadata"] = self.interaction.metadata()
            value["type"] = 20 if self.interaction.type == 2 and self.interaction.original is self else 0
        return value


@dataclass(eq=False)
class Interaction:
    """One thing a member did. `type`: 2 command, 3 component, 4 autocomplete, 5 modal."""

    type: int
    user: User
    channel: Channel
    data: Json
    message: Message | None = None  # whose component was used
    opened_by: Interaction | None = None  # which one a modal belongs to
    id: int = field(default_factory=snowflake)
    token: str = field(default_factory=lambda: f"aW50ZXJhY3Rpb246{snowflake()}")
    at: float = field(default_factory=time.monotonic)
    answer: int | None = None  # the type of the first answer
    answered_after: float | None = None  # seconds
    original: Message | None = None  # what @original means
    choices: list[Json] = field(default_factory=list)
    modal: Json = None
    followups: list[Message] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """What the member got to see for it, deleted ones left out."""
        every = ([self.original] if self.original is not None else []) + self.followups
        return [message for message in every if not message.deleted]

    def metadata(self) -> Json:
        value: Json = {"id": str(self.id), "type": self.type, "user": self.user.json()}
        guild = self.channel.guild_id
        value["authorizing_integration_owners"] = {"0": str(guild)} if guild else {"1": str(self.user.id)}
        if self.type == 3 and self.message is not None:
            value["interacted_message_id"] = str(self.message.id)
        if self.type == 5:
            opener = self.opened_by.metadata() if self.opened_by is not None else None
            value["triggering_interaction_metadata"] = opener
        return value


@dataclass(eq=False)
class Request:
    """One HTTP request of the bot, and what it was told. `route` is Discord's own spelling of the path."""

    method: str
    path: str
    route: str
    query: dict[str, str]
    headers: dict[str, str]
    json: Json = None
    files: dict[int, tuple[str, bytes]] = field(default_factory=dict, repr=False)
    parameters: dict[str, str] = field(default_factory=dict)
    at: float = field(default_factory=time.monotonic)
    status: int | str | None = None  # "reset" and "lost" where no answer was given
    answer: Json = None


def walk(components: list[Json]) -> list[Json]:
    """Every component, at any depth."""
    found = []
    for component in components:
        found.append(component)
        found += walk(component.get("components") or [])
        found += walk([component[key] for key in ("accessory", "component") if isinstance(component.get(key), dict)])
    return found
