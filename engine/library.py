"""Where adapter files are: built in, in the configured folders by name, alias or hash, or content-addressed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .adapters.hashes import hashes_of_file
from .adapters.header import read_header
from .config import BUILTIN_FOLDER
from .errors import AdapterError, AdapterNotFound
from .types import AdapterUse

BUILTIN_ADAPTERS = ("ink", "neon", "light")
SAMPLES = BUILTIN_FOLDER / "samples"
SUFFIX = ".safetensors"
ALIASES = ("ss_output_name", "modelspec.title")  # metadata; the WebUI takes the first
_HASH = re.compile(r"(?:0x)?([0-9a-f]{8,64})", re.IGNORECASE)


def builtin_adapter(name: str) -> Path:
    """The file of a built-in adapter. Raises AdapterNotFound for any other name."""
    if name not in BUILTIN_ADAPTERS:
        raise AdapterNotFound(f"No built-in adapter is called {name!r}; there are {', '.join(BUILTIN_ADAPTERS)}.")
    return BUILTIN_FOLDER / f"{name}{SUFFIX}"


def builtin_samples(name: str) -> tuple[Path, ...]:
    """Sample pictures of a built-in adapter, WebP files. Raises AdapterNotFound for any other name."""
    return tuple(sorted(SAMPLES.glob(f"{builtin_adapter(name).stem}-*.webp")))


def hash_digits(name: str) -> str:
    """The hexadecimal digits of a name that can be (the beginning of) a hash, else "".

    AutoV2 is 10 digits of the file's SHA-256, AutoV3 and the WebUI's 12 of that of its tensors; 8 are the least.
    """
    match = _HASH.fullmatch(name.strip())
    return match[1].lower() if match else ""


@dataclass(slots=True)
class _Card:
    """What is known of a file as long as its size and time of change stay the same."""

    stamp: tuple[int, int]
    aliases: frozenset[str] | None = None  # casefolded
    hashes: tuple[str, str] | None = None  # SHA-256 of the file, and of its tensors


class Library:
    """Finds the file of an AdapterUse. Lists the folders every time: files come and go while we run. A file is read
    when an alias or a hash is looked for, and again only after it has changed.
    """

    def __init__(self, folders: Sequence[Path] = (), catalog: Path | None = None) -> None:
        """With a `catalog` nothing is found but what lies in it by its sha256, whatever a name says."""
        self._folders = tuple(Path(folder) for folder in folders)
        self._catalog = catalog
        self._cards: dict[Path, _Card] = {}

    def locate(self, use: AdapterUse) -> Path:
        """The file. By `sha256` in a content-addressed folder; else `name` is a path, a file stem, an alias that the
        file gives itself, or the beginning of a hash. The first of these that any file answers to counts, upper and
        lower case alike, but a stem in the very same spelling goes before others.

        Raises AdapterNotFound: no such name, or several files of that name. Whether the content has the hash is for
        the reader to check.
        """
        folders = self._folders if self._catalog is None else (self._catalog,)
        for folder in folders if use.sha256 else ():
            path = folder / use.sha256[:2] / f"{use.sha256}{SUFFIX}"
            if path.is_file():
                return path
        if self._catalog is not None:
            raise AdapterNotFound(f"No adapter is called {use.name!r} here.")
        if use.name.endswith(SUFFIX):
            path = Path(use.name)
            if path.is_file():
                return path
        found = self._by_name(use.name)
        if len(found) > 1:
            listed = ", ".join(map(str, found))
            raise AdapterNotFound(
                f"{use.name} is the name of {len(found)} files: {listed}. Say which by its file name."
            )
        if found:
            return found[0]
        raise AdapterNotFound(f"No adapter is called {use.name!r} here.{self._suggestion(use.name)}")

    def names(self) -> list[str]:
        """The stems of all files, sorted."""
        return sorted({path.stem for path in self._files()})

    def _by_name(self, name: str) -> list[Path]:
        files, folded = self._files(), name.casefold()
        rules: tuple[Callable[[Path], bool], ...] = (
            lambda path: path.stem == name,
            lambda path: path.stem.casefold() == folded,
            lambda path: folded in self._aliases(path),
        )
        return next((found for rule in rules if (found := list(filter(rule, files)))), []) or self._by_hash(
            hash_digits(name)
        )

    def _by_hash(self, digits: str) -> list[Path]:
        """The files of which a hash begins so, one of each content."""
        contents = {self._hashes(path): path for path in reversed(self._files())} if digits else {}
        return [path for hashes, path in contents.items() if any(digest.startswith(digits) for digest in hashes)]

    def _files(self) -> list[Path]:
        own = [path for folder in self._folders for path in sorted(folder.glob(f"*{SUFFIX}"))]
        taken = {path.stem for path in own}
        return own + [builtin_adapter(name) for name in BUILTIN_ADAPTERS if name not in taken]

    def _aliases(self, path: Path) -> frozenset[str]:
        card = self._card(path)
        if card.aliases is None:
            card.aliases = _aliases_of(path)
        return card.aliases

    def _hashes(self, path: Path) -> tuple[str, str]:
        card = self._card(path)
        if card.hashes is None:
            card.hashes = _hashes_of(path)
        return card.hashes

    def _card(self, path: Path) -> _Card:
        try:
            status = path.stat()
        except OSError:  # gone since the folder was listed: nothing is known of it
            return _Card((0, 0), frozenset(), ("", ""))
        stamp = (status.st_mtime_ns, status.st_size)
        card = self._cards.get(path)
        if card is None or card.stamp != stamp:
            card = self._cards[path] = _Card(stamp)
        return card

    def _suggestion(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
        return f" Did you mean {' or '.join(near)}?" if near else f" There are {', '.join(self.names())}."


def _aliases_of(path: Path) -> frozenset[str]:
    try:
        metadata = read_header(path).metadata
    except AdapterError:  # a damaged file has no alias; asked for by its name, it says what is wrong with it
        return frozenset()
    return frozenset(metadata[key].strip().casefold() for key in ALIASES if metadata.get(key, "").strip())


def _hashes_of(path: Path) -> tuple[str, str]:
    try:
        found = hashes_of_file(path, read_header(path).data_start)
    except AdapterError:
        return "", ""
    return found.sha256, found.tensor_sha256
