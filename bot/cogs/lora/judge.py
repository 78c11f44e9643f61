"""/lora rate, report: what members say of an adapter."""

from __future__ import annotations

from discord.ext import commands


class Judge(commands.Cog):
    """Commands of /lora."""
