"""What an import can be refused for, as a tree. `str(error)` is a sentence a member can read and act on.

    ImportRefused
    ├── SourceUnclear       what was typed is none of the forms that are read, or fits several files
    ├── SourceUnusable      found, and not an adapter this bot draws with: another kind or model, a pickle, a bad scan
    ├── SourceMissing       nothing there: never was, or private, which reads the same
    │   └── SourceRemoved   it was there and has been taken away
    ├── SourceLocked        there, and only for some: a login, an agreement, early access
    ├── SourceBusy          the source asks to come back later; `retry_after` in seconds
    ├── AddressRefused      an address that is not public, not https, or not on the owner's list
    ├── SourceBroken        the server answers what cannot be true
    │   └── Interrupted     it cannot be reached or hangs up, also when asked again
    │       └── TooSlow     it sends next to nothing, or for longer than a download may last
    ├── TooLarge            more bytes than a file may have here
    ├── HashDiffers         other bytes than the source says they are
    ├── NoRoom              this machine's disk is full
    └── DropRefused         the link is made up, used or too old

A file that arrives whole and is no good adapter raises the engine's AdapterInvalid or AdapterUnsupported.
No sentence tells an address that a name resolved to, or the query of a URL, which may hold a secret.
"""

from __future__ import annotations


class ImportRefused(Exception):
    """Base of everything an import is refused for."""


class SourceUnclear(ImportRefused):
    """What was typed is none of the forms that are read, or fits several files."""


class SourceUnusable(ImportRefused):
    """Found, and not an adapter this bot draws with."""


class SourceMissing(ImportRefused):
    """Nothing there."""


class SourceRemoved(SourceMissing):
    """It was there and has been taken away."""


class SourceLocked(ImportRefused):
    """There, and only for some."""


class SourceBusy(ImportRefused):
    """The source asks to come back after `retry_after` seconds."""

    def __init__(self, sentence: str, retry_after: float) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class AddressRefused(ImportRefused):
    """An address that is not public, not https, or not on the owner's list."""


class SourceBroken(ImportRefused):
    """The server answers what cannot be true."""


class Interrupted(SourceBroken):
    """The server cannot be reached or hangs up."""


class TooSlow(Interrupted):
    """It sends next to nothing, or for longer than a download may last."""


class TooLarge(ImportRefused):
    """More bytes than a file may have here."""


class HashDiffers(ImportRefused):
    """Other bytes than the source says they are."""


class NoRoom(ImportRefused):
    """This machine's disk is full."""


class DropRefused(ImportRefused):
    """The link is made up, used or too old."""
