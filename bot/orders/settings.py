"""What a server, a channel and a member have chosen, and what that makes of an order. Pure.

Each level says only what it changes: None is "as the level before". From wide to narrow they are the configuration,
the server, the channel, the member. A narrower level may choose other defaults, never wider limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from engine import SAMPLERS, Request

from .errors import SettingRefused
from .values import Bounds

DEFAULTS = ("model", "negative", "size", "steps", "cfg", "sampler", "language")
LIMITS = ("models", "adapters", "jobs_per_member", "seconds_per_day", "mature", "real_people")
NAMES = DEFAULTS + LIMITS
"""Every setting by the name that people know it by: "size" is width and height, which go together."""

MOST_JOBS, MOST_SECONDS = 1000, 86400
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,4})*")


class Level(StrEnum):
    """Who says it, from wide to narrow."""

    CONFIGURATION = "configuration"
    SERVER = "server"
    CHANNEL = "channel"
    MEMBER = "member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One level. `models` (by name) and `adapters` (by their files' sha256, which no other file can bear) are all that
    may be used there; None allows every one.

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

    @property
    def size(self) -> tuple[int, int] | None:
        return (self.width, self.height) if self.width and self.height else None

    @property
    def said(self) -> tuple[str, ...]:
        """The names of the settings that this level changes."""
        return tuple(name for name in NAMES if getattr(self, name) is not None)

    def over(self, other: Settings) -> Settings:
        """The same level, and of `other` what it does not say."""
        return replace(other, **_fields_of(self, self.said))

    def without(self, names: Iterable[str]) -> Settings:
        """The same level, which says nothing of these."""
        return replace(self, **dict.fromkeys(_fields_of(self, names)))

    def checked(self) -> Settings:
        """The same level. Raises BadRequest or SettingRefused for a value that no order could have."""
        Request(prompt="", **self._asked())
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise SettingRefused(f"{self.sampler!r} is no sampler here; choose one that is offered.")
        for name, value, most in (
            ("jobs_per_member", self.jobs_per_member, MOST_JOBS),
            ("seconds_per_day", self.seconds_per_day, MOST_SECONDS),
        ):
            if value is not None and not 1 <= value <= most:
                raise SettingRefused(f"{name} of {value}: 1 to {most} is possible; reset it for no limit of its own.")
        if self.language is not None and not _LOCALE.fullmatch(self.language):
            raise SettingRefused(f"{self.language[:20]!r} is no language; write it like zh-CN.")
        return self

    def request(
        self,
        prompt: str,
        *,
        model: str | None = None,
        negative: str | None = None,
        size: tuple[int, int] | None = None,
        steps: int | None = None,
        cfg: float | None = None,
        sampler: str | None = None,
        **given: Any,
    ) -> Request:
        """What is asked for; what is None of it is as these settings have it."""
        width, height = size or (None, None)
        asked = Settings(
            model=model, negative=negative, width=width, height=height, steps=steps, cfg=cfg, sampler=sampler
        )
        return Request(prompt=prompt, **asked.over(self)._asked(), **given)

    def within(self, bounds: Bounds) -> Bounds:
        """The bounds of somebody with these settings in force."""
        jobs = bounds.per_member if self.jobs_per_member is None else min(bounds.per_member, self.jobs_per_member)
        return replace(bounds, per_member=jobs, seconds=self.seconds_per_day, role_seconds={})

    def _asked(self) -> dict[str, Any]:
        """The fields of a Request that this level says."""
        return {name: value for name, value in _fields_of(self, DEFAULTS[:-1]).items() if value is not None}


NOTHING = Settings()


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings that count for somebody in some place, and which level each of them comes from."""

    settings: Settings
    sources: Mapping[str, Level] = field(default_factory=dict)


def in_force(levels: Iterable[tuple[Level, Settings]]) -> InForce:
    """What the levels, from wide to narrow, make together.

    A default is as the narrowest level has it, a limit as the strictest. The default model is one that may be used,
    where there is any.
    """
    merged, models = NOTHING, []
    sources: dict[str, Level] = {}
    for level, said in levels:
        strict = {name: _stricter(getattr(merged, name), getattr(said, name)) for name in LIMITS}
        told = [name for name in DEFAULTS if getattr(said, name) is not None]
        told += [name for name in LIMITS if strict[name] != getattr(merged, name)]
        sources |= dict.fromkeys(told, level)
        merged = replace(said.over(merged), **strict)
        if said.model is not None:
            models.append((said.model, level))
    allowed = merged.models
    if allowed and merged.model not in allowed:
        fallback = (allowed[0], sources["models"])
        name, sources["model"] = next((found for found in reversed(models) if found[0] in allowed), fallback)
        merged = replace(merged, model=name)
    return InForce(merged, MappingProxyType(sources))


def to_json(settings: Settings) -> dict[str, Any]:
    """What the level says."""
    return {name: value for name, value in asdict(settings).items() if value is not None}


def from_json(value: Mapping[str, Any]) -> Settings:
    """The settings that `to_json` was given. Unknown names are refused, not dropped."""
    said: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in value.items()}
    return Settings(**said)


def _stricter(before: Any, said: Any) -> Any:
    """Of two limits what both allow; None is no limit."""
    if before is None or said is None:
        return before if said is None else said
    if isinstance(said, tuple):
        return tuple(one for one in before if one in said)
    return min(before, said)


def _fields_of(settings: Settings, names: Iterable[str]) -> dict[str, Any]:
    """The fields behind the names that people know."""
    known = {one.name for one in fields(settings)}
    every = [part for name in names for part in (("width", "height") if name == "size" else (name,))]
    return {name: getattr(settings, name) for name in every if name in known}
