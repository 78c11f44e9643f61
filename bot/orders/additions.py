"""The values of /lora add: what is offered before anything is kept, what is kept, and what came of it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from engine import AdapterInfo

from ..importing import (
    Fetched,
    Licence,
    Preflight,
    Preview,
    PreviewPicture,
    Provenance,
    Removed,
    Updated,
    spell_source,
)
from .values import CatalogEntry

PRIVATE, GUILD, EVERYONE = "private", "guild", "everyone"
MAX_NAME = 60  # characters
MAX_TAG, TAGS_KEPT = 40, 12
MAX_WORD, WORDS_KEPT = 100, 20  # trigger words
_UNFIT = re.compile(r'[<>:,|"`#@\\]')  # what a tag of a prompt, a short id or a mention begins or ends with
_USUAL_NAMES = ("pytorch_lora_weights", "adapter_model", "model", "adapter", "lora")  # say nothing about a file
_COMMERCIAL = {
    "Image": "Pictures may be sold.",
    "RentCivit": "Paid use on Civitai is allowed.",
    "Rent": "Paid use on any site is allowed.",
    "Sell": "The file may be sold.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a card of /lora add is about; nothing of it is kept yet. Texts of the source are untrusted.

    `source` is as `spell_source` spells it, or "" for an upload, which is at `upload`, Discord's address, or
    waits as `dropped` since the drop page brought it. `name` is the
    wanted one, "" for one that is made of `proposed`. `size` in bytes. `sha256` is what the file must have, where it is
    known. `here` names an entry that the member sees and that has the same file or tensors. `scans` by scanner.
    """

    source: str = ""
    upload: str = ""
    dropped: str = ""
    file_name: str = ""
    name: str = ""
    proposed: str = ""
    visibility: str = PRIVATE
    origin: str = "upload"
    title: str = ""
    version: str = ""
    creator: str = ""
    page: str = ""
    kind: str = ""
    base: str = ""
    family: str = ""
    layers: int = 0
    size: int | None = None
    sha256: str = ""
    licence: str = ""
    scans: Mapping[str, str] = field(default_factory=dict)
    triggers: tuple[str, ...] = ()
    description: str = ""
    previews: tuple[Preview, ...] = ()
    mature: bool = False
    real_person: bool = False
    warnings: tuple[str, ...] = ()
    here: str = ""

    def to_json(self) -> dict[str, Any]:
        """A value for `store.questions`, in which lists are lists."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Offer:
        """The inverse of `to_json`."""
        lists = {key: tuple(value[key]) for key in ("triggers", "warnings")}
        return cls(**{**value, **lists, "previews": tuple(Preview(**one) for one in value["previews"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A validated file on its way into the catalog, with everything that is kept of where it came from.

    `name` is taken as it is, or refused; without one the first free name like `proposed` is found.
    """

    info: AdapterInfo
    provenance: Provenance
    visibility: str
    name: str = ""
    proposed: str = ""
    previews: tuple[PreviewPicture, ...] = ()
    triggers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    credit: str = ""
    licence: str = ""
    mature: bool = False
    real_person: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """What an addition came to. `new` is False where the very entry was there before. `same_as` names an entry that the
    member sees and that has the same tensors; with `shared` the new one uses its file, for the own one differs in its
    metadata alone.
    """

    entry: CatalogEntry
    new: bool = True
    same_as: str = ""
    shared: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an entry came from. `at_source` is what was found there when it was last asked, at `checked_at`; None: the
    file as it is here, or nothing that could be asked.
    """

    entry_id: int
    provenance: Provenance
    at_source: Updated | Removed | None
    checked_at: datetime


def offer_of(preflight: Preflight, name: str, visibility: str) -> Offer:
    """What a source says, as an offer."""
    return Offer(
        source=spell_source(preflight.source),
        file_name=preflight.file_name,
        name=name,
        proposed=proposed_name(preflight.file_name, preflight.title),
        visibility=visibility,
        origin=preflight.origin,
        title=preflight.title,
        version=preflight.version,
        creator=preflight.creator,
        page=preflight.page,
        kind=preflight.kind,
        base=preflight.base,
        family=preflight.family,
        size=preflight.size,
        sha256=preflight.hashes.get("SHA256", ""),
        licence=spell_licence(preflight.licence),
        scans=dict(preflight.scans),
        triggers=_words(preflight.triggers),
        description=preflight.description,
        previews=preflight.previews,
        mature=preflight.mature,
        real_person=preflight.real_person,
        warnings=preflight.warnings,
    )


def offer_of_upload(fetched: Fetched, upload: str, name: str, visibility: str) -> Offer:
    """What a file that was sent says of itself, as an offer."""
    info = fetched.info
    return Offer(
        upload=upload,
        file_name=fetched.provenance.file_name,
        name=name,
        proposed=proposed_name(fetched.provenance.file_name, info.title),
        visibility=visibility,
        title=info.title or info.name,
        creator=info.author,
        kind=info.format,
        base=info.family,
        family=info.family,
        layers=sum(info.modules.values()),
        size=info.size,
        sha256=info.sha256,
        licence=info.license,
        triggers=info.triggers[:WORDS_KEPT],
        warnings=info.notes,
    )


def addition_of(fetched: Fetched, visibility: str, name: str = "") -> Addition:
    """What is kept of a fetched file; without a source, of what the file says itself."""
    info, origin, said = fetched.info, fetched.provenance, fetched.preflight
    return Addition(
        info=info,
        provenance=origin,
        visibility=visibility,
        name=name,
        proposed=proposed_name(origin.file_name, origin.title or info.title),
        previews=fetched.previews,
        triggers=_words(said.triggers) if said is not None else (),
        tags=_tags(said.tags) if said is not None else (),
        description=said.description if said is not None else "",
        credit=(origin.creator or info.author)[:100],
        licence=spell_licence(origin.licence) or info.license,
        mature=said is not None and said.mature,
        real_person=said is not None and said.real_person,
    )


def spell_licence(licence: Licence) -> str:
    """A licence in sentences: its name, and what the maker allows or asks, as far as stated."""
    said = [
        f"{licence.name}." if licence.name else "",
        "Credit the maker." if licence.credit_needed else "",
        *([] if licence.commercial is None else _commercial(licence.commercial)),
        "No merges and other derivatives." if licence.derivatives is False else "",
        "Derivatives keep this licence." if licence.other_licence is False and licence.derivatives is not False else "",
    ]
    return " ".join(filter(None, said))[:300]


def _commercial(uses: tuple[str, ...]) -> list[str]:
    return [_COMMERCIAL[use] for use in uses if use in _COMMERCIAL] or ["No commercial use."]


def proposed_name(file_name: str, title: str) -> str:
    """A name made of a file's, or of its title where the file's says nothing; it can be used in a prompt's tag."""
    stem = file_name.removesuffix(".safetensors")
    text = title if title and stem.casefold() in _USUAL_NAMES else stem
    cleaned = " ".join(_UNFIT.sub(" ", _plain(text)).split())[:MAX_NAME].strip()
    return cleaned or "adapter"


def _plain(text: str) -> str:
    """In NFC and without signs that do not print."""
    return "".join(sign if sign.isprintable() else " " for sign in unicodedata.normalize("NFC", text))


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    folded = (" ".join(tag.casefold().split())[:MAX_TAG] for tag in tags)
    return tuple(dict.fromkeys(filter(None, folded)))[:TAGS_KEPT]


def _words(triggers: tuple[str, ...]) -> tuple[str, ...]:
    """Trigger words one by one: sources often write several with commas in one field."""
    parts = (" ".join(part.split()) for trigger in triggers for part in trigger.split(","))
    return tuple(dict.fromkeys(part for part in parts if 0 < len(part) <= MAX_WORD))[:WORDS_KEPT]
