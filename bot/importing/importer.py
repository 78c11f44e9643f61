"""The way in: look at a source, fetch the file, prove what it is. Nothing is left behind of what is refused.

async with open_importer(config, folder) as importer:
    preflight = await importer.preflight(parse_source(text))        # show it, ask
    async with importer.fetch(preflight) as fetched:                # streamed, compared, validated
        await adapters.add(fetched.path, fetched.info.sha256)       # the caller's to keep; the path ends here
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from engine import AdapterInfo

from ..config import Imports
from .addresses import AddressRules, origin_of
from .arrival import Arrival, OnProgress, megabytes, refuse_foreign
from .civitai import CivitaiSite
from .download import Downloaded
from .errors import HashDiffers, ImportRefused, SourceMissing, SourceRemoved, SourceUnusable, TooLarge
from .huggingface import Hub
from .names import file_name
from .network import Bounds, Network, parse_url
from .previews import fetch_previews
from .source import Civitai, FileHash, HuggingFace, Source, WebFile
from .values import (
    AtSource,
    Fetched,
    Origin,
    Preflight,
    PreviewPicture,
    Provenance,
    Removed,
    Unchanged,
    Unknown,
    provenance,
    source_of,
)
from .web import Web

PREFIX = "import-"
AT_ONCE = 3  # downloads; more wait for their turn


class Importer:
    """`folder` holds files only while they are on their way; what an earlier run left there is gone."""

    def __init__(self, network: Network, config: Imports, folder: Path) -> None:
        self._network = network
        self._previews = config.previews
        self.cap = config.max_megabytes * 1_000_000
        self.folder = folder
        self._civitai = CivitaiSite(network, site=config.civitai_url, token=config.civitai_token)
        self._hub = Hub(network, hub=config.huggingface_url, token=config.huggingface_token)
        self._web = Web(network)
        self._downloads = asyncio.Semaphore(AT_ONCE)
        self._validation = asyncio.Lock()  # it takes a file into memory

    async def preflight(self, source: Source) -> Preflight:
        """What the source says about the file, which is not fetched. Raises ImportRefused."""
        match source:
            case Civitai() | FileHash():
                found = await self._civitai.preflight(source)
            case HuggingFace():
                found = await self._hub.preflight(source)
            case WebFile():
                found = await self._web.preflight(source, self.cap)
        if found.size is not None and found.size > self.cap:
            raise TooLarge(f"The file has {megabytes(found.size)}; at most {megabytes(self.cap)} are taken here.")
        return found

    @asynccontextmanager
    async def fetch(self, preflight: Preflight, on_progress: OnProgress | None = None) -> AsyncIterator[Fetched]:
        """The file, as the source says it is and proven to be an adapter; gone when the block ends.

        Raises ImportRefused, AdapterInvalid, AdapterUnsupported. `on_progress` is called on the event loop.
        """
        async with self._incoming() as place:
            path = place / "file.safetensors"
            arrived = await self._download(preflight, path, on_progress)
            _compare(preflight, arrived)
            info = await self._validate(path, preflight.file_name, arrived.sha256)
            pictures, missed = await self._samples(preflight)
            warnings = _differences(preflight, info)
            if missed:
                warnings += (f"{missed} of {missed + len(pictures)} sample pictures could not be kept.",)
            mark = arrived.mark if isinstance(preflight.source, WebFile) else ""
            origin = provenance(preflight, info.sha256, datetime.now(UTC), mark=mark, warnings=warnings)
            yield Fetched(path, info, origin, preflight, pictures)

    async def from_upload(self, path: Path, filename: str, origin: Origin = "upload") -> Fetched:
        """A file that lies here already, proven to be an adapter; it stays where it is, and is the caller's.

        Raises TooLarge, SourceUnusable, AdapterInvalid, AdapterUnsupported.
        """
        size, first = await asyncio.to_thread(_size_and_first, path)
        if size > self.cap:
            raise TooLarge(f"The file has {megabytes(size)}; at most {megabytes(self.cap)} are taken here.")
        refuse_foreign(first)
        name = file_name(filename)
        info = await self._validate(path, name)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        return Fetched(
            path,
            info,
            Provenance(origin=origin, source="", page="", file_name=name, sha256=info.sha256, fetched_at=when),
        )

    @asynccontextmanager
    async def arrival(self, on_progress: OnProgress | None = None) -> AsyncIterator[Arrival]:
        """A place for a file that somebody sends piece by piece; gone when the block ends."""
        reserve = self._network.bounds.reserve
        async with (
            self._incoming() as place,
            Arrival(place / "file.safetensors", cap=self.cap, reserve=reserve, on_progress=on_progress) as arrival,
        ):
            yield arrival

    @asynccontextmanager
    async def held(self, fetched: Fetched) -> AsyncIterator[Fetched]:
        """The file, taken from where it was to a place of its own; gone when the block ends."""
        async with self._incoming() as place:
            path = place / fetched.path.name
            await asyncio.to_thread(fetched.path.rename, path)
            yield replace(fetched, path=path)

    async def check(self, origin: Provenance) -> AtSource:
        """What has become of the file at its source. Never raises for what the source does."""
        source = source_of(origin)
        try:
            match source:
                case Civitai():
                    return await self._civitai.check(source, origin.sha256)
                case HuggingFace():
                    return await self._hub.check(source, origin.sha256)
                case WebFile():
                    return await self._web.check(source, origin.version, self.cap)
        except (SourceMissing, SourceRemoved, SourceUnusable) as error:
            return Removed(str(error))
        except ImportRefused as error:
            return Unknown(str(error))
        return Unchanged()

    async def _download(self, preflight: Preflight, path: Path, on_progress: OnProgress | None) -> Downloaded:
        async with self._downloads:
            match preflight.origin:
                case "Civitai":
                    return await self._civitai.download(preflight, path, self.cap, on_progress)
                case "Hugging Face":
                    return await self._hub.download(preflight, path, self.cap, on_progress)
            return await self._web.download(preflight, path, self.cap, on_progress)

    async def _samples(self, preflight: Preflight) -> tuple[tuple[PreviewPicture, ...], int]:
        return await fetch_previews(self._network, preflight.previews[: self._previews])

    async def _validate(self, path: Path, name: str, sha256: str = "") -> AdapterInfo:
        async with self._validation:
            return await asyncio.to_thread(_read, path, name.removesuffix(".safetensors"), sha256)

    @asynccontextmanager
    async def _incoming(self) -> AsyncIterator[Path]:
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self.folder))  # one call: cancelled, it would leave a folder
        try:
            yield place
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, place, ignore_errors=True))


@asynccontextmanager
async def open_importer(config: Imports, folder: Path, bounds: Bounds | None = None) -> AsyncIterator[Importer]:
    """`folder` is the importer's own; what a run that was killed left in it is removed."""
    await asyncio.to_thread(sweep, folder)
    rules = AddressRules(config.hosts, frozenset(map(_origin, config.loopback_urls)))
    async with Network(rules, bounds) as network:
        yield Importer(network, config, folder)


def sweep(folder: Path) -> None:
    """`folder` is there, and holds no file that never arrived."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(place)


def _origin(address: str) -> str:
    return origin_of(parse_url(address))


def _read(path: Path, name: str, sha256: str) -> AdapterInfo:
    """In a thread: every byte is read, checked and hashed. The engine names hash and defect."""
    from engine import read_adapter

    return read_adapter(path, sha256=sha256, name=name).info


def _size_and_first(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        return path.stat().st_size, file.read(64)


def _compare(preflight: Preflight, arrived: Downloaded) -> None:
    """Raises HashDiffers unless the bytes are those that the source says. AutoV3 is a claim of the file about itself,
    which trainers get wrong; the engine hashes the tensors anew."""
    stated = {"SHA256": arrived.sha256, "AutoV2": arrived.sha256[:10]}
    for kind, actual in stated.items():
        expected = preflight.hashes.get(kind, actual)
        if expected.lower() != actual:
            raise HashDiffers(
                f"{preflight.origin} says that the file's {kind} is {expected[:12]}, and what it sent has "
                f"{actual[:12]}. It was not kept."
            )


def _differences(preflight: Preflight, info: AdapterInfo) -> tuple[str, ...]:
    """Where the file is not what its page says."""
    if preflight.family and info.family and preflight.family != info.family:
        return (f"Its page says {preflight.base}, and its layers are those of {info.family}.",)
    return ()
