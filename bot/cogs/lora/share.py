"""/lora edit, share, fork, favourite, remove: whose an adapter is, who sees it, what it says."""

from __future__ import annotations

from discord.ext import commands


class Share(commands.Cog):
    """Commands of /lora."""
