"""The frozen values of an import: what a source says beforehand, what arrived, where from, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from engine import AdapterInfo

from .errors import SourceBroken
from .source import Source, parse_source, spell_source

Origin = Literal["Civitai", "Hugging Face", "web", "upload", "watch folder"]
SCAN_PASSED = "Success"


@dataclass(frozen=True, slots=True)
class Licence:
    """What the maker allows, as stated; None: not stated. `commercial` in Civitai's words, such as "Image", "Sell"."""

    name: str = ""
    credit_needed: bool | None = None
    commercial: tuple[str, ...] | None = None
    derivatives: bool | None = None
    other_licence: bool | None = None  # derivatives may have another one


@dataclass(frozen=True, slots=True)
class Preview:
    """A sample picture at the source, not downloaded. `mature`: not for everybody, or not known to be."""

    url: str
    mature: bool
    level: int = 0  # Civitai's nsfwLevel: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX, 32 blocked; 0 not stated


@dataclass(frozen=True, slots=True)
class PreviewPicture:
    """A sample picture, kept: drawn anew as WebP from its pixels, so that nothing else of the file is left."""

    webp: bytes = field(repr=False)
    width: int
    height: int
    mature: bool
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What a source says about a file before it is fetched. Every text is the source's own: untrusted, cut short.

    `source` is pinned to one file, `spell_source` spells it. `base` is as stated ("Illustrious"), `family` one of the
    engine's words ("SDXL") or "" when `base` is unknown. `hashes` by the names of source.HASHES. `scans` by scanner.
    `size` in bytes, `exact_size` when the source counts bytes and not kilobytes. `snapshot` is the page as JSON.
    """

    source: Source
    origin: Origin
    title: str
    page: str
    address: str
    file_name: str
    size: int | None = None
    version: str = ""
    creator: str = ""
    kind: str = ""
    base: str = ""
    family: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)
    scans: Mapping[str, str] = field(default_factory=dict)
    scanned_at: str = ""
    licence: Licence = Licence()
    triggers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    previews: tuple[Preview, ...] = ()
    mature: bool = False
    real_person: bool = False
    mark: str = ""
    warnings: tuple[str, ...] = ()
    snapshot: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a file came from; outlives the source. `source` is what spell_source gives, empty for an upload.

    `version` is Civitai's version id, Hugging Face's commit, or the server's mark. `sha256` is of the whole file.
    """

    origin: Origin
    source: str
    page: str
    file_name: str
    sha256: str
    fetched_at: str  # ISO 8601, UTC
    title: str = ""
    creator: str = ""
    version: str = ""
    base: str = ""
    licence: Licence = Licence()
    warnings: tuple[str, ...] = ()
    snapshot: str = field(default="", repr=False)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """The inverse of `to_json`. Raises SourceBroken for what `to_json` did not write."""
        try:
            values = json.loads(text)
            licence = values.pop("licence")
            commercial = licence.pop("commercial")
            licence = Licence(**licence, commercial=None if commercial is None else tuple(commercial))
            return cls(**values | {"warnings": tuple(values["warnings"])}, licence=licence)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise SourceBroken("What was written down about the origin of this file cannot be read.") from None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A validated file. `path` is there until the block that gave it ends; keep a copy by `info.sha256`."""

    path: Path
    info: AdapterInfo
    provenance: Provenance
    preflight: Preflight | None = None  # None for a file that no source describes
    previews: tuple[PreviewPicture, ...] = ()


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The source still has this very file, or cannot be asked because there is none."""


@dataclass(frozen=True, slots=True)
class Updated:
    """The source has something newer, which `source` names."""

    version: str
    source: str


@dataclass(frozen=True, slots=True)
class Removed:
    """The source has the file no more; what was kept stays."""

    why: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The source could not be asked this time."""

    why: str


AtSource = Unchanged | Updated | Removed | Unknown


def provenance(
    preflight: Preflight, sha256: str, fetched_at: datetime, *, mark: str = "", warnings: tuple[str, ...] = ()
) -> Provenance:
    """What to remember of a file that was fetched from what `preflight` describes."""
    return Provenance(
        origin=preflight.origin,
        source=spell_source(preflight.source),
        page=preflight.page,
        file_name=preflight.file_name,
        sha256=sha256,
        fetched_at=fetched_at.isoformat(timespec="seconds"),
        title=preflight.title,
        creator=preflight.creator,
        version=mark or preflight.mark,
        base=preflight.base,
        licence=preflight.licence,
        warnings=(*preflight.warnings, *warnings),
        snapshot=preflight.snapshot,
    )


def source_of(origin: Provenance) -> Source | None:
    """Where to ask about the file again; None for one that somebody sent."""
    return parse_source(origin.source) if origin.source else None
