"""One file, from an address onto the disk: taken up again where it broke off, as long as it is the same file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from .addresses import shown
from .arrival import Arrival, OnProgress
from .errors import ImportRefused, Interrupted, SourceBroken, TooLarge, TooSlow
from .names import file_name
from .network import Network, Small, Token, paced

Explain = Callable[[Small], ImportRefused]  # what an answer other than the file means at this source

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
EXPLAINED = 65536  # bytes of an error that are read


@dataclass(frozen=True, slots=True)
class Downloaded:
    """`mark` is the server's name for this state of the file (ETag or Last-Modified), empty if it gives none."""

    path: Path
    size: int
    sha256: str
    name: str
    mark: str


@dataclass(slots=True)
class _State:
    """What is known about the file from its first answer on."""

    mark: str = ""
    name: str = ""


async def download(
    network: Network,
    address: str,
    path: Path,
    *,
    cap: int,
    explain: Explain,
    token: Token | None = None,
    listed: bool = False,
    on_progress: OnProgress | None = None,
) -> Downloaded:
    """`path` holds the whole file, which will survive a power cut. Raises ImportRefused; the partial file is the
    caller's to remove.
    """
    bounds, state = network.bounds, _State()
    failure: Interrupted | None = None
    try:
        async with (
            asyncio.timeout(bounds.total),
            Arrival(path, cap=cap, reserve=bounds.reserve, on_progress=on_progress) as arrival,
        ):
            for attempt in range(bounds.attempts):
                if attempt:
                    await asyncio.sleep(bounds.pause * 2 ** (attempt - 1))
                try:
                    await _attempt(network, address, arrival, state, explain, token, listed)
                except Interrupted as error:
                    failure = error
                    continue
                return Downloaded(path, arrival.size, await arrival.finish(), state.name, state.mark)
    except TimeoutError:
        raise TooSlow(f"The download took longer than {bounds.total / 60:g} minutes.") from None
    assert failure is not None
    raise failure


async def _attempt(
    network: Network,
    address: str,
    arrival: Arrival,
    state: _State,
    explain: Explain,
    token: Token | None,
    listed: bool,
) -> None:
    """`arrival` has taken the rest of the file. Raises Interrupted when another attempt may bring more."""
    resuming = {"Range": f"bytes={arrival.size}-", "If-Range": state.mark} if arrival.size and state.mark else {}
    async with network.ask(address, headers=resuming, token=token, listed=listed) as answer:
        if answer.status == 206 and resuming:
            _check_range(answer, arrival, state)
        elif answer.status == 200 or (answer.status == 416 and resuming):
            await arrival.restart()
            if answer.status == 416:
                state.mark = ""
                raise Interrupted(f"{answer.url.host} has another file now than when the download began.")
            arrival.expect(answer.content_length)
            state.mark, state.name = strong_mark(answer.headers), stated_name(answer)
        else:
            await _refuse(answer, explain)
        async for piece in paced(answer.content.readany, network.bounds, str(answer.url.host)):
            await arrival.take(piece)
    if arrival.total is not None and arrival.size != arrival.total:
        raise Interrupted(f"{answer.url.host} sent {arrival.size:,} of {arrival.total:,} bytes.")


def _check_range(answer: aiohttp.ClientResponse, arrival: Arrival, state: _State) -> None:
    """The part that was asked for, of the file that was begun. Raises SourceBroken."""
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if not found:
        raise SourceBroken(f"{answer.url.host} sends a part of the file and does not say which.")
    start, end, total = map(int, found.groups())
    whole = arrival.total if arrival.total is not None else total
    if start != arrival.size or end != total - 1 or total != whole:
        raise SourceBroken(f"{answer.url.host} sends another part of the file than the one it was asked for.")
    if (mark := strong_mark(answer.headers)) and mark != state.mark:
        raise SourceBroken(f"{answer.url.host} sends the rest of another file than the one it began with.")
    arrival.expect(total)


async def _refuse(answer: aiohttp.ClientResponse, explain: Explain) -> None:
    if answer.status >= 500:
        raise Interrupted(f"{answer.url.host} has trouble of its own (error {answer.status}).")
    body = b""
    try:
        async with asyncio.timeout(10):
            body = await answer.content.read(EXPLAINED)
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # the status says enough
    raise explain(Small(answer.status, answer.headers, body))


def strong_mark(headers: Mapping[str, str]) -> str:
    """What If-Range may carry (RFC 9110 §13.1.5): a strong ETag, else the date of the last change, else nothing."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else "" if etag else headers.get("Last-Modified", "")


def stated_name(answer: aiohttp.ClientResponse) -> str:
    """The file's name as the server gives it, made safe; else the last part of its address."""
    disposition = answer.content_disposition
    return file_name((disposition.filename if disposition else None) or answer.url.name)


async def look(network: Network, address: str, explain: Explain, *, cap: int) -> tuple[str, int | None, str, bytes]:
    """Name, size, mark and first bytes of a file, which is not downloaded. Raises like `download`."""
    async with network.ask(address, listed=True) as answer:
        if answer.status != 200:
            await _refuse(answer, explain)
        size = answer.content_length
        if size is not None and size > cap:
            raise TooLarge(f"{shown(address)} has {size:,} bytes; at most {cap:,} are taken here.")
        first = b""
        async for piece in paced(answer.content.readany, network.bounds, shown(address)):
            first += piece
            if len(first) >= 64:
                break
        return stated_name(answer), size, strong_mark(answer.headers), first[:64]
