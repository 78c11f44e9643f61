"""What Discord is told of who may use a command: derived from the one table of rights, and never the only check."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from ..orders.rights import Right, is_guild_only, least_right

PERMISSIONS = {
    Right.MEMBER: None,
    Right.MODERATOR: discord.Permissions(manage_messages=True),
    Right.ADMIN: discord.Permissions(manage_guild=True),
    Right.OWNER: discord.Permissions.none(),  # shown to administrators alone, until a server decides otherwise
}


def declare_rights(tree: app_commands.CommandTree[Any]) -> None:
    """Discord will show each command only to whom it is for, and only where it means something.

    It knows one right for a whole group: the least of what is in it. Servers may change what it shows; what a person
    may do is checked again when a command runs, and where it takes effect.
    """
    for command in tree.get_commands():
        command.default_permissions = PERMISSIONS[least_right(command.name)]
        direct = not is_guild_only(command.name)
        command.allowed_contexts = app_commands.AppCommandContext(guild=True, dm_channel=direct, private_channel=False)
