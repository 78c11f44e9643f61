"""What servers, channels and members choose: said by whom it is for, and held against every order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import AdapterNotFound, ModelNotFound, Request

from .errors import Forbidden, SettingRefused
from .rights import require_command
from .settings import LIMITS, NAMES, NOTHING, InForce, Level, Settings, in_force
from .values import Bounds, CatalogEntry, Who

if TYPE_CHECKING:
    from ..store import Store

MINE = frozenset(("model", "negative", "size", "steps", "cfg", "sampler", "language", "mature"))
"""What a member chooses for themselves; the rest is a server's and its channels' to say."""

_UNSAID = Settings(real_people=False)  # what a server is that has not said otherwise
_COMMANDS = {Level.SERVER: "settings server", Level.CHANNEL: "settings channel", Level.MEMBER: "settings me"}
_ORDER = tuple(Level)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChange:
    """What somebody wants a level to say: `said` on top of what it does, nothing of `reset`, and these names on or off
    the lists of what may be used. `allow_` begins a list where there is none.
    """

    said: Settings = NOTHING
    reset: frozenset[str] = frozenset()
    allow_model: str | None = None
    forbid_model: str | None = None
    allow_adapter: str | None = None
    forbid_adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What counts at a level; `adapters` are the names of those that may be used, as far as whoever asks sees them."""

    found: InForce
    adapters: tuple[str, ...] = ()


class SettingsDesk:
    """`of` is asked with every order. `models` gives the names of the base models there are."""

    def __init__(self, store: Store, bounds: Bounds, model: str, models: Callable[[], Sequence[str]]) -> None:
        self._rows = store.settings
        self._catalog = store.catalog
        self._bounds = bounds
        self._model = model
        self._models = models

    async def of(self, who: Who) -> Settings:
        """What counts for this person in this place, `mature` and `real_people` always said. Raises StorageError."""
        return (await self.in_force(who)).settings

    async def in_force(self, who: Who) -> InForce:
        """The same, with the level that each setting comes from."""
        return in_force(await self._levels(who))

    async def shown(self, who: Who, level: Level) -> Shown:
        """What counts at this level, without what narrower ones say. Raises Forbidden, StorageError."""
        require_command(who, _COMMANDS[level])
        _require_place(who, level)
        found = in_force([(one, said) for one, said in await self._levels(who) if not _is_wider(level, one)])
        entries = [await self._catalog.find_file(who, sha256) for sha256 in found.settings.adapters or ()]
        return Shown(found, tuple(entry.name for entry in entries if entry is not None))

    async def limit(self, who: Who, change: SettingsChange) -> Shown:
        """The server's limits are as told, or as they were where nothing is. As `change`."""
        require_command(who, "admin limits")
        if change == SettingsChange():
            return await self.shown(who, Level.SERVER)
        return await self.change(who, Level.SERVER, change)

    async def change(self, who: Who, level: Level, change: SettingsChange) -> Shown:
        """The level says what it is told, and that is what counts there now.

        Raises Forbidden; SettingRefused, BadRequest, ModelNotFound or AdapterNotFound for what cannot be or is wider
        than a wider level allows, and then nothing is changed.
        """
        require_command(who, _COMMANDS[level])
        _require_place(who, level)
        _require_own(level, {*change.said.said, *change.reset, *_listed(change)})
        wider = [(one, said) for one, said in await self._levels(who, changed=level) if _is_wider(one, level)]
        adapters = {name: await self._file(who, name) for name in (change.allow_adapter, change.forbid_adapter) if name}
        for model in (change.said.model, change.allow_model, change.forbid_model):
            if model is not None and model not in self._models():
                raise ModelNotFound(f"There is no model called {model[:50]!r} here; choose one that is offered.")

        def amended(was: Settings) -> Settings:
            said = change.said.over(was.without(change.reset))
            models = _relisted(said.models, change.allow_model, change.forbid_model, "model")
            allow, forbid = (adapters.get(name or "") for name in (change.allow_adapter, change.forbid_adapter))
            files = _relisted(said.adapters, allow, forbid, "adapter")
            said = Settings(models=models, adapters=files).over(said).checked()
            _require_narrower(wider, level, was, said)
            return said

        await self._rows.change(_scope(who, level), amended, note=None if level is Level.MEMBER else who)
        return await self.shown(who, level)

    async def _levels(self, who: Who, *, changed: Level | None = None) -> list[tuple[Level, Settings]]:
        """From wide to narrow, for this person; for a level that is `changed`, all that anybody is allowed."""
        said = dict(zip(_ORDER[1:], await self._rows.of(*(_scope(who, level) for level in _ORDER[1:])), strict=True))
        if who.guild_id is None:
            said[Level.SERVER] = said[Level.CHANNEL] = NOTHING
        seconds = self._bounds.allowance(who.roles) if changed is None else self._bounds.most
        levels = [(Level.CONFIGURATION, self._configuration(seconds))]
        if said[Level.SERVER].real_people is None and changed is not Level.SERVER:
            levels.append((Level.CONFIGURATION if changed is None else Level.SERVER, _UNSAID))
        return [*levels, *said.items()]

    def _configuration(self, seconds: float | None) -> Settings:
        return Settings(
            model=self._model,
            models=tuple(self._models()),
            jobs_per_member=self._bounds.per_member,
            seconds_per_day=None if seconds is None else int(seconds),
            mature=True,
            real_people=True,
        )

    async def _file(self, who: Who, name: str) -> str:
        """The content that a name stands for here."""
        entry = await self._catalog.find(who, name)
        if entry is None:
            raise AdapterNotFound(f"There is no adapter called {name[:100]!r} here; choose one that is offered.")
        return entry.info.sha256


class Allowed:
    """The rule that only models and adapters are drawn with that may be used in this place."""

    def __init__(self, settings: SettingsDesk) -> None:
        self._settings = settings

    async def __call__(self, request: Request, entries: Sequence[CatalogEntry], who: Who) -> None:
        settings = await self._settings.of(who)
        model = request.model or settings.model
        if settings.models is not None and model not in settings.models:
            if not settings.models:
                raise Forbidden("No base model may be used here; the admins of this server can change that.")
            raise Forbidden(f"{model} is not drawn with here; use {', '.join(settings.models)}.")
        for entry in entries:
            if settings.adapters is not None and entry.info.sha256 not in settings.adapters:
                name = entry.public_name  # the sentence may stand in a channel
                raise Forbidden(f"{name} is not among the adapters that may be used here; /settings me shows them.")


def _scope(who: Who, level: Level) -> str:
    numbers = {Level.SERVER: who.guild_id or 0, Level.CHANNEL: who.governed_by, Level.MEMBER: who.member_id}
    return f"{level}:{numbers[level]}"


def _is_wider(level: Level, other: Level) -> bool:
    return _ORDER.index(level) < _ORDER.index(other)


def _require_place(who: Who, level: Level) -> None:
    if who.guild_id is None and level is not Level.MEMBER:
        raise Forbidden("This works only in a server; /settings me is for everywhere.")


def _require_own(level: Level, names: Iterable[str]) -> None:
    strange = [name for name in NAMES if name in names and name not in MINE]
    if level is Level.MEMBER and strange:
        raise SettingRefused(f"{strange[0]} is for a server and its channels to say.")


def _require_narrower(wider: Collection[tuple[Level, Settings]], level: Level, was: Settings, said: Settings) -> None:
    """Returns when all that the level says newly is what counts there."""
    result = in_force([*wider, (level, said)])
    for name in ("model", *LIMITS):
        wanted, counts = getattr(said, name), getattr(result.settings, name)
        if wanted is None or wanted == getattr(was, name):
            continue
        if (set(wanted) != set(counts)) if isinstance(wanted, tuple) else wanted != counts:
            source = result.sources["models" if name == "model" else name]
            raise SettingRefused(_refusal(source, name))


def _refusal(source: Level, name: str) -> str:
    if source is Level.CONFIGURATION:
        return f"The bot's configuration does not allow that for {name}."
    if source is Level.SERVER:
        return f"This server does not allow that for {name}; a channel or a member can only be stricter."
    return f"This channel does not allow that for {name}; a member can only be stricter."


def _listed(change: SettingsChange) -> set[str]:
    models, adapters = change.allow_model or change.forbid_model, change.allow_adapter or change.forbid_adapter
    return {name for name, listed in (("models", models), ("adapters", adapters)) if listed}


def _relisted(
    listed: tuple[str, ...] | None, allow: str | None, forbid: str | None, kind: str
) -> tuple[str, ...] | None:
    """The list with one name more and one less."""
    if allow is not None:
        listed = (*(one for one in listed or () if one != allow), allow)
    if forbid is None:
        return listed
    if listed is None:
        raise SettingRefused(f"Every {kind} may be used there; allow some first, then only those may be.")
    listed = tuple(one for one in listed if one != forbid)
    if not listed and kind == "model":
        raise SettingRefused("That is the last model; reset models, and every one may be used again.")
    return listed
