"""A picture's metadata, held against what there is here: its adapters by content and by name, its model by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

from engine import AdapterUse, Reading, Request, write_infotext

from .values import CatalogEntry, Who

_LEAST = 8  # hexadecimal digits that tell a file: AutoV1 has no more
_SHOWN = 60
_ENDINGS = (".safetensors", ".ckpt", ".pt")


class Catalog(Protocol):
    """What of `bot.store` is needed here."""

    async def find(self, who: Who, name: str) -> CatalogEntry | None: ...
    async def find_hashed(self, who: Who, beginning: str) -> CatalogEntry | None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """An adapter of the picture and its entry here; `same`: by its content, not only by its name."""

    use: AdapterUse
    entry: CatalogEntry
    same: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """`request` holds only what is here. `missing` are (name, beginning of its hash or ""); `notes` say the rest."""

    source: str
    request: Request
    found: tuple[Found, ...]
    missing: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def infotext(self) -> str:
        """The request as a text, from which it can be read again; no model's hash, since no model has drawn it."""
        hashes = {found.entry.name: found.entry.info.tensor_sha256 for found in self.found}
        return write_infotext(self.request, self.request.seed, self.request.model, hashes)


async def replay(
    reading: Reading,
    who: Who,
    catalog: Catalog,
    family: Callable[[str], Awaitable[str]],
    models: Collection[str],
    vaes: Collection[str],
) -> Replay:
    """The reading as an order that can be drawn here. An adapter is found by its content first, then by its name.

    `family` tells what a base model is ("": the usual one); `models` and `vaes` are the names there are.
    """
    notes = list(reading.notes)
    model = _here(reading.request.model, models, "base model", notes)
    vae = _here(reading.request.vae, vaes, "VAE", notes)
    drawn_by = await family(model)
    found: list[Found] = []
    missing: list[tuple[str, str]] = []
    for use in reading.request.adapters:
        digest = reading.hashes.get(use.name, "")
        one = await _find(use, digest, who, catalog)
        if one is None:
            missing.append((use.name, digest))
            continue
        if not one.same and _tells(digest):
            notes.append(f"{one.entry.name} is another file here than in the picture: only its name is the same.")
        made_for = one.entry.info.family
        if made_for and drawn_by and made_for != drawn_by:
            notes.append(f"{one.entry.name} was made for {made_for} and is left out: this base model is {drawn_by}.")
        else:
            found.append(one)
    uses = tuple(replace(one.use, name=one.entry.name, sha256=one.entry.info.sha256) for one in found)
    request = replace(reading.request, model=model, vae=vae, adapters=uses)
    return Replay(reading.source, request, tuple(found), tuple(missing), tuple(notes))


async def _find(use: AdapterUse, digest: str, who: Who, catalog: Catalog) -> Found | None:
    entry = await catalog.find_hashed(who, digest) if _tells(digest) else None
    if entry is not None:
        return Found(use, entry, same=True)
    entry = await catalog.find(who, use.name)
    return None if entry is None else Found(use, entry, same=False)


def _here(name: str, names: Collection[str], what: str, notes: list[str]) -> str:
    """The name as it is here, whatever its case, folders and ending; "" for the usual one where there is none."""
    file = name.replace("\\", "/").rpartition("/")[2].casefold()
    stem = next((file.removesuffix(end) for end in _ENDINGS if file.endswith(end)), file)
    known = next((known for known in names if known.casefold() in (name.casefold(), file, stem)), "")
    if name and not known:
        notes.append(f"The {what} {name[:_SHOWN]!r} is not here; the usual one draws instead.")
    return known


def _tells(digest: str) -> bool:
    return len(digest) >= _LEAST and all(sign in "0123456789abcdef" for sign in digest.lower())
