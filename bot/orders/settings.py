"""What a server, a channel and a member have chosen, and what that makes of an order. Pure.

Each level says only what it changes: None is "as the level before". From wide to narrow they are the configuration,
the server, the channel, the member. A narrower level may choose other defaults, never wider limits.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One level. `models` and `adapters` are all that may be used there, by name; None allows every one.

    `mature` is whether pictures and adapters not fit for everybody may be made, and then only in age-restricted places;
    `real_people` whether adapters of real people may be used, and never for mature pictures. `language` is a locale
    such as "zh-CN"; None: the one that the member's Discord speaks.
    """

    model: str | None = None
    negative: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    models: tuple[str, ...] | None = None
    adapters: tuple[str, ...] | None = None
    jobs_per_member: int | None = None
    seconds_per_day: int | None = None
    mature: bool | None = None
    real_people: bool | None = None
    language: str | None = None
