"""A file at a plain https address: what its server says about it, and what its first bytes look like."""

from __future__ import annotations

from pathlib import Path

from .arrival import OnProgress, refuse_foreign
from .civitai import retry_after
from .download import Downloaded, download, look
from .errors import ImportRefused, SourceBroken, SourceBusy, SourceLocked, SourceMissing, SourceRemoved
from .network import Network, Small, parse_url
from .source import WebFile, spell_source
from .values import AtSource, Preflight, Unchanged, Updated


class Web:
    def __init__(self, network: Network) -> None:
        self._network = network

    async def preflight(self, source: WebFile, cap: int) -> Preflight:
        """What can be seen from the outside. Raises ImportRefused."""
        name, size, mark, first = await look(self._network, source.url, explain, cap=cap)
        refuse_foreign(first)
        return Preflight(
            source=source,
            origin="web",
            title=name.removesuffix(".safetensors"),
            page=str(parse_url(source.url).with_query(None)),  # a query may hold a key
            address=source.url,
            file_name=name,
            size=size,
            mark=mark,
            warnings=("This address says nothing about the file: no maker, no licence, no hash.",),
        )

    async def download(self, preflight: Preflight, path: Path, cap: int, on_progress: OnProgress | None) -> Downloaded:
        return await download(
            self._network, preflight.address, path, cap=cap, explain=explain, listed=True, on_progress=on_progress
        )

    async def check(self, source: WebFile, mark: str, cap: int) -> AtSource:
        """Whether the server gives the file the same mark as it did. Raises ImportRefused."""
        _, _, now, _ = await look(self._network, source.url, explain, cap=cap)
        return Updated(now, spell_source(source)) if mark and now and now != mark else Unchanged()


def explain(answer: Small) -> ImportRefused:
    match answer.status:
        case 401 | 403 | 407:
            return SourceLocked("This address is not open to everybody; the file can be sent as an upload instead.")
        case 404:
            return SourceMissing("There is nothing at this address.")
        case 410:
            return SourceRemoved("What was at this address has been taken away.")
        case 429:
            wait = retry_after(answer)
            return SourceBusy(f"This address asks to come back in {wait:.0f} seconds.", wait)
    return SourceBroken(f"This address answers with error {answer.status}.")
