"""Loraloom on Discord.

>>> from bot import create_bot, load_config
>>> bot = create_bot(load_config())
>>> bot.intents.message_content
False
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine import Fleet

    from .client import Bot
    from .config import BotConfig

__all__ = ["create_bot", "load_config"]


def load_config(path: str | Path | None = None) -> BotConfig:
    """The configuration from `path`, else from LORALOOM_CONFIG or ./config.toml, and from the environment."""
    from .config import load_config

    return load_config(path)


def create_bot(config: BotConfig, fleet: Fleet | None = None, *, simulated: bool = False) -> Bot:
    """A bot ready for `await bot.start(token)`. `fleet` None draws on this machine; `simulated` is for SimCord."""
    from .client import Bot, point_at

    if config.discord_api:
        point_at(config.discord_api)
    return Bot(config, fleet, simulated=simulated)
