"""Where adapter files are: built in, in the configured folders by name, or content-addressed by hash."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from .config import BUILTIN_FOLDER
from .errors import AdapterNotFound
from .types import AdapterUse

BUILTIN_ADAPTERS = ("ink", "neon", "light")
SUFFIX = ".safetensors"


def builtin_adapter(name: str) -> Path:
    """The file of a built-in adapter. Raises AdapterNotFound for any other name."""
    if name not in BUILTIN_ADAPTERS:
        raise AdapterNotFound(f"No built-in adapter is called {name!r}; there are {', '.join(BUILTIN_ADAPTERS)}.")
    return BUILTIN_FOLDER / f"{name}{SUFFIX}"


class Library:
    """Finds the file of an AdapterUse. Looks at the disk every time: files come and go while we run."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = tuple(Path(folder) for folder in folders)

    def locate(self, use: AdapterUse) -> Path:
        """The file. By `sha256` in a content-addressed folder; else a path, a file stem (any case), or a built-in name.

        Raises AdapterNotFound: no such name, or several files of that name. Whether the content has the hash is for
        the reader to check.
        """
        for folder in self._folders if use.sha256 else ():
            path = folder / use.sha256[:2] / f"{use.sha256}{SUFFIX}"
            if path.is_file():
                return path
        if use.name.endswith(SUFFIX):
            path = Path(use.name)
            if path.is_file():
                return path
        matches = [path for path in self._files() if path.stem.casefold() == use.name.casefold()]
        exact = [path for path in matches if path.stem == use.name] or matches
        if len(exact) > 1:
            raise AdapterNotFound(
                f"{use.name} is the name of {len(exact)} files: {', '.join(map(str, exact))}. Rename one."
            )
        if exact:
            return exact[0]
        raise AdapterNotFound(f"No adapter is called {use.name!r} here.{self._suggestion(use.name)}")

    def names(self) -> list[str]:
        """All names that `locate` knows, sorted."""
        return sorted({path.stem for path in self._files()})

    def _files(self) -> list[Path]:
        own = [path for folder in self._folders for path in sorted(folder.glob(f"*{SUFFIX}"))]
        taken = {path.stem for path in own}
        return own + [builtin_adapter(name) for name in BUILTIN_ADAPTERS if name not in taken]

    def _suggestion(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
        return f" Did you mean {' or '.join(near)}?" if near else f" There are {', '.join(self.names())}."
