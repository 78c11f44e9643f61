"""Base models: those of the configuration, and those that were added while the bot ran."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import BUILTIN, EngineConfig, EngineError, Fleet, ModelNotFound, family_of_model

from .errors import SettingRefused
from .rights import require_command
from .settings import Settings
from .values import Who

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)

MOST = 24  # that are added; with the built-in one they fit one menu
LONGEST = 500  # characters of a source
_NAME = re.compile(r"\w[\w .+-]{0,38}\w|\w")


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model as somebody sees it. `family` "" while it is not known, as of one that was never fetched.

    `allowed`: it may be drawn with in this place; `default`: it is what is drawn with where an order names none.
    """

    name: str
    family: str
    allowed: bool
    default: bool
    added: bool


class Models:
    """`add` and `remove` are inverses. `added` are those that earlier processes added, by name, with their sources."""

    def __init__(self, store: Store, fleet: Fleet, config: EngineConfig, added: Mapping[str, str]) -> None:
        self._rows = store.stock
        self._settings = store.settings
        self._fleet = fleet
        self._config = config
        self._added = {name: source for name, source in added.items() if config.source_of(name) is None}
        self._families: dict[str, str] = {}
        self._changing = asyncio.Lock()

    def names(self) -> tuple[str, ...]:
        """Every base model, the built-in one first."""
        return tuple(dict.fromkeys((BUILTIN, *self._config.models, *self._added)))

    async def listed(self, settings: Settings) -> tuple[BaseModel, ...]:
        """Every base model, for somebody with these settings in force. Nobody is told where they are."""
        return tuple([await self._model(name, settings) for name in self.names()])

    async def add(self, who: Who, name: str, source: str) -> BaseModel:
        """Everybody may draw with the base model at `source`: a diffusers folder, one .safetensors checkpoint, or a
        Hugging Face id, looked at before it is kept, and loaded when it is first drawn with.

        Raises Forbidden; SettingRefused for a name that cannot be; ModelNotFound or ModelUnreadable for the source.
        """
        require_command(who, "model add")
        name, source = name.strip(), source.strip()
        if not _NAME.fullmatch(name):
            raise SettingRefused("A model's name has 1 to 40 letters, digits, spaces, dots, + and -.")
        if len(source) > LONGEST:
            raise SettingRefused(f"That source has {len(source)} characters; {LONGEST} is the most.")
        async with self._changing:
            if name.casefold() in (known.casefold() for known in self.names()):
                raise SettingRefused(f"There is a model called {name} already; choose another name.")
            if len(self._added) >= MOST:
                raise SettingRefused(f"{MOST} models were added, the most there may be; /model remove makes room.")
            family = await asyncio.to_thread(family_of_model, source)
            await self._rows.add_model(name, source, who)
            self._added[name], self._families[name] = source, family
            for worker in self._fleet.workers():
                await self._fleet.add_model(worker, name, source)
        return BaseModel(name, family, allowed=True, default=False, added=True)

    async def remove(self, who: Who, name: str) -> None:
        """Nobody draws with the base model any more; its files stay where they are.

        Raises Forbidden; ModelNotFound; SettingRefused for one that the configuration names, or that a server or a
        channel has as its default.
        """
        require_command(who, "model remove")
        async with self._changing:
            if name not in self.names():
                raise ModelNotFound(f"There is no model called {name[:50]!r} here; choose one that is offered.")
            if name not in self._added:
                raise SettingRefused(f"{name} is named by the bot's configuration; it is taken out there.")
            if users := await self._settings.num_drawing_with(name):
                raise SettingRefused(
                    f"{name} is the default of {users} servers or channels; another has to be chosen there first."
                )
            await self._rows.remove_model(name, who)
            del self._added[name]
            self._families.pop(name, None)
            for worker in self._fleet.workers():
                await self._fleet.remove_model(worker, name)

    async def family(self, name: str = "") -> str:
        """The family of a base model ("": the configuration's default), as far as the files here tell, which are looked
        at once; "" while it is unknown.
        """
        name = name or self._config.model
        source = self._added.get(name) or self._config.source_of(name)
        if name not in self._families and source:
            try:
                self._families[name] = await asyncio.to_thread(family_of_model, source, online=False)
            except EngineError as error:  # an id that was not fetched yet, or a file that is away for now
                log.debug("what the base model %s is, is not known: %s", name, error)
        return self._families.get(name, "")

    async def _model(self, name: str, settings: Settings) -> BaseModel:
        allowed = settings.models is None or name in settings.models
        family = await self.family(name)
        return BaseModel(name, family, allowed, default=name == settings.model, added=name in self._added)
