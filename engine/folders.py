"""What lies in the configured folders by name: wildcard files and embeddings. Names come from listings, so that no
path is ever made from what a prompt says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from .errors import PromptError

EMBEDDING_SUFFIXES = (".safetensors", ".pt", ".bin")  # the last two are known to be refused by name
MAX_WILDCARD_BYTES = 4 << 20


class Wildcards(Mapping[str, tuple[str, ...]]):
    """Wildcard files: `name.txt` and `folder/name.txt` below the folders, in any case; the first folder wins.

    A value holds the file's lines without blank ones and `# comments`. The folders are listed once, when first asked.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._folders = tuple(folders)

    def __getitem__(self, name: str) -> tuple[str, ...]:
        path = self._files[name.casefold()]
        try:
            if path.stat().st_size > MAX_WILDCARD_BYTES:
                raise PromptError(f"The wildcard __{name}__ is larger than {MAX_WILDCARD_BYTES} bytes.")
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"The wildcard __{name}__ cannot be read as UTF-8 text: {error}.") from error
        return tuple(line for line in map(str.strip, lines) if line and not line.startswith("#"))

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    @cached_property
    def _files(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self._folders:
            for path in _below(folder, ".txt"):
                found.setdefault(path.relative_to(folder).with_suffix("").as_posix().casefold(), path)
        return found


def embedding_files(folders: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """The embedding files below the folders by their stems in lower case. One name may have several."""
    found: dict[str, tuple[Path, ...]] = {}
    for folder in folders:
        for path in _below(folder, *EMBEDDING_SUFFIXES):
            name = path.stem.casefold()
            found[name] = (*found.get(name, ()), path)
    return found


def _below(folder: Path, *suffixes: str) -> list[Path]:
    """The files of these suffixes in the folder and its folders, sorted. A link out of the folder is not followed."""
    home = folder.resolve()
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    return sorted(path for path in paths if path.is_file() and path.resolve().is_relative_to(home))
