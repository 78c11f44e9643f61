"""Who may do what: one table over every command, asked before a command runs and again where it takes effect."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from .errors import Forbidden
from .values import Who


class Right(IntEnum):
    """What a person must be, each including the ones before."""

    MEMBER = 0
    MODERATOR = 1  # manages messages in this server
    ADMIN = 2  # manages this server
    OWNER = 3  # runs this bot


_NEEDED = {
    Right.MODERATOR: "This is for people who may manage messages in this server.",
    Right.ADMIN: "This is for people who may manage this server.",
    Right.OWNER: "This is for the people who run this bot.",
}

COMMANDS: Mapping[str, Right] = MappingProxyType(
    {
        "imagine": Right.MEMBER,
        "grid": Right.MEMBER,
        "history": Right.MEMBER,
        "queue": Right.MEMBER,
        "metadata": Right.MEMBER,
        "Read metadata": Right.MEMBER,
        **dict.fromkeys(
            (
                *("lora list", "lora browse", "lora search", "lora info", "lora add", "lora edit", "lora share"),
                *("lora fork", "lora favourite", "lora remove", "lora rate", "lora report", "Report"),
                *("model list", "settings me", "privacy export", "privacy delete"),
            ),
            Right.MEMBER,
        ),
        **dict.fromkeys(("moderate reports", "moderate takedown", "moderate restore", "admin queue"), Right.MODERATOR),
        **dict.fromkeys(
            (
                *("adapter list", "adapter stats", "adapter ban", "adapter unban"),
                *("model use", "settings server", "settings channel", "admin limits", "admin audit"),
            ),
            Right.ADMIN,
        ),
        **dict.fromkeys(
            (
                *("adapter load", "adapter unload", "adapter pin", "adapter unpin", "adapter warm"),
                *("adapter quarantine", "model add", "model remove", "admin drain", "admin resume"),
            ),
            Right.OWNER,
        ),
    }
)
"""Every command by its qualified name. A command that is not here is refused to everybody, and a test finds it."""


GUILD_ONLY = frozenset({"moderate", "admin", "settings server", "settings channel"})
"""Commands, and groups of them, that are about one server and so mean nothing in a direct message."""


def right_of(who: Who) -> Right:
    """The most that this person may do in this place."""
    if who.owner:
        return Right.OWNER
    if who.admin:
        return Right.ADMIN
    return Right.MODERATOR if who.moderator else Right.MEMBER


def require(who: Who, right: Right) -> None:
    """Returns for a person with that right. Raises Forbidden."""
    if right_of(who) < right:
        raise Forbidden(_NEEDED[right])


def require_command(who: Who, name: str) -> None:
    """Returns for a person who may use the command of that qualified name there. Raises Forbidden."""
    right = COMMANDS.get(name)
    if right is None:
        raise Forbidden("This command is for nobody until it is said whom it is for.")
    if who.guild_id is None and is_guild_only(name):
        raise Forbidden("This works only in a server.")
    require(who, right)


def is_guild_only(name: str) -> bool:
    """Whether the command of that qualified name, or the group it is in, is about one server."""
    return name in GUILD_ONLY or name.partition(" ")[0] in GUILD_ONLY


def least_right(name: str) -> Right:
    """Who may use at least something of the command or group of that name: what Discord is told, which knows no more
    than one right for a whole group. One that nobody knows of is for the people who run this bot.
    """
    within = [right for command, right in COMMANDS.items() if command == name or command.startswith(f"{name} ")]
    return min(within, default=Right.OWNER)
