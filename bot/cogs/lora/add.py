"""/lora add: an adapter from elsewhere becomes a member's own."""

from __future__ import annotations

from discord.ext import commands


class Add(commands.Cog):
    """Commands of /lora."""
