"""Imports: what a member names or sends becomes a validated file with a known origin.

One way in for everything: `parse_source` reads what was typed, `Importer.preflight` says what it is before anything is
kept, `Importer.fetch` brings it. Knows no Discord and no database; what is kept, and for whom, is the caller's.
"""

from .addresses import AddressRules, is_public
from .arrival import OnProgress, megabytes
from .drop import Dropped, DropServer, OnDrop
from .drop_page import PageWords
from .errors import (
    AddressRefused,
    DropRefused,
    HashDiffers,
    ImportRefused,
    Interrupted,
    NoRoom,
    SourceBroken,
    SourceBusy,
    SourceLocked,
    SourceMissing,
    SourceRemoved,
    SourceUnclear,
    SourceUnusable,
    TooLarge,
    TooSlow,
)
from .importer import Importer, open_importer
from .network import Bounds, Network, paced
from .previews import redraw
from .source import (
    ACCEPTED,
    Civitai,
    FileHash,
    HuggingFace,
    PictureSources,
    Source,
    WebFile,
    parse_source,
    picture_sources,
    spell_source,
)
from .values import (
    SCAN_PASSED,
    AtSource,
    Fetched,
    Licence,
    Preflight,
    Preview,
    PreviewPicture,
    Provenance,
    Removed,
    Unchanged,
    Unknown,
    Updated,
)
from .watch import WatchFolder

__all__ = [
    "ACCEPTED",
    "AddressRefused",
    "AddressRules",
    "AtSource",
    "Bounds",
    "Civitai",
    "DropRefused",
    "DropServer",
    "Dropped",
    "Fetched",
    "FileHash",
    "HashDiffers",
    "HuggingFace",
    "ImportRefused",
    "Importer",
    "Interrupted",
    "Licence",
    "Network",
    "NoRoom",
    "OnDrop",
    "OnProgress",
    "PageWords",
    "PictureSources",
    "Preflight",
    "Preview",
    "PreviewPicture",
    "Provenance",
    "SCAN_PASSED",
    "Removed",
    "Source",
    "SourceBroken",
    "SourceBusy",
    "SourceLocked",
    "SourceMissing",
    "SourceRemoved",
    "SourceUnclear",
    "SourceUnusable",
    "TooLarge",
    "TooSlow",
    "Unchanged",
    "Unknown",
    "Updated",
    "WatchFolder",
    "WebFile",
    "is_public",
    "megabytes",
    "open_importer",
    "paced",
    "parse_source",
    "picture_sources",
    "redraw",
    "spell_source",
]
