"""Servers that misbehave: each ends in a sentence, soon, with few bytes taken and no file left behind (bar B5)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import itertools
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bot.importing import (
    AddressRefused,
    HashDiffers,
    ImportRefused,
    Interrupted,
    NoRoom,
    Preflight,
    SourceBroken,
    SourceBusy,
    SourceLocked,
    SourceMissing,
    SourceRemoved,
    SourceUnusable,
    TooLarge,
    TooSlow,
    WebFile,
)
from bot.importing.network import Token
from engine import AdapterInvalid, AdapterUnsupported

from .conftest import Sites
from .servers import Call, RawServer, Script, raw_server

CAP = 400_000
FILE = b""  # set by `file`: the scripts below are module functions


@pytest.fixture(autouse=True)
def file(adapter: bytes, sites: Sites) -> None:
    global FILE
    FILE = adapter
    sites.network.bounds = replace(
        sites.network.bounds, connect=0.2, answer=0.5, gap=0.3, window=0.4, window_bytes=2000, attempts=2
    )


def preflight(url: str, **more: Any) -> Preflight:
    return Preflight(
        source=WebFile(url), origin="web", title="x", page=url, address=url, file_name="x.safetensors", **more
    )


async def fetch(sites: Sites, server: RawServer, **more: Any) -> None:
    importer = sites.allowing(server.url, cap=CAP)
    async with importer.fetch(preflight(f"{server.url}/x.safetensors", **more)):
        pass


# Every script plays one server; the name of the function is what it does wrong.


async def drips_a_byte_at_a_time(call: Call) -> None:
    await call.answer(FILE[:64], Content_Length=str(len(FILE)))
    for number in itertools.count(64):
        await call.send(FILE[number : number + 1])
        await asyncio.sleep(0.02)


async def drips_its_headers(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\n")
    for number in itertools.count():
        await call.send(f"X-{number}: 1\r\n".encode())
        await asyncio.sleep(0.05)


async def never_answers(call: Call) -> None:
    await asyncio.sleep(30)


async def sends_without_end(call: Call) -> None:
    await call.answer(FILE, Content_Length="")
    while True:
        await call.send(b"\0" * 65536)


async def sends_chunks_without_end(call: Call) -> None:
    await call.answer(Content_Length="", Transfer_Encoding="chunked")
    block = FILE[:65536]
    while True:
        await call.send(f"{len(block):x}\r\n".encode() + block + b"\r\n")


async def says_it_is_huge(call: Call) -> None:
    await call.answer(FILE, Content_Length=str(10**17))


async def says_a_length_below_zero(call: Call) -> None:
    await call.answer(FILE, Content_Length="-1")


async def says_two_lengths(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 900\r\n\r\n" + FILE)


async def says_more_than_it_sends(call: Call) -> None:
    await call.answer(FILE[:1000], Content_Length=str(len(FILE)))


async def says_less_than_it_sends(call: Call) -> None:
    await call.answer(FILE, Content_Length=str(len(FILE) - 100))


async def says_no_length_and_stops_early(call: Call) -> None:
    await call.answer(FILE[:-1], Content_Length="")


async def sends_nothing(call: Call) -> None:
    await call.answer(b"")


async def sends_eight_bytes(call: Call) -> None:
    await call.answer(FILE[:8])


async def compresses(call: Call) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    await call.answer(bomb, Content_Encoding="gzip")


async def compresses_in_secret(call: Call) -> None:
    await call.answer(gzip.compress(FILE))


async def sends_a_web_page(call: Call) -> None:
    await call.answer(b"<!DOCTYPE html><html>Please log in</html>", Content_Type="text/html")


async def sends_a_web_page_as_safetensors(call: Call) -> None:
    await call.answer(b"\n  <html>" + b" " * 9683, Content_Type="application/octet-stream")


async def sends_a_pickle(call: Call) -> None:
    await call.answer(b"\x80\x04\x95" + b"cposix\nsystem\n" * 100)


async def sends_a_zip(call: Call) -> None:
    await call.answer(b"PK\x03\x04" + b"archive/data.pkl" * 100)


async def sends_a_lying_header(call: Call) -> None:
    await call.answer(struct.pack("<Q", 2**63) + b'{"a": 1}' * 100)


async def sends_no_adapter(call: Call) -> None:
    header = b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}     '
    await call.answer(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")


async def sends_other_bytes(call: Call) -> None:
    await call.answer(FILE[:-1] + bytes([FILE[-1] ^ 1]))


async def redirects_to_itself(call: Call) -> None:
    await call.answer(status="302 Found", Location="/x.safetensors")


async def redirects_nowhere(call: Call) -> None:
    await call.answer(status="302 Found")


async def redirects_to_a_file_of_ours(call: Call) -> None:
    await call.answer(status="302 Found", Location="file:///etc/passwd")


async def redirects_to_the_metadata_service(call: Call) -> None:
    await call.answer(status="307 Temporary Redirect", Location="https://169.254.169.254/latest/meta-data/")


async def redirects_to_plain_http(call: Call) -> None:
    await call.answer(status="301 Moved", Location="http://example.com/x.safetensors")


async def redirects_into_mapped_ipv6(call: Call) -> None:
    await call.answer(status="308 Permanent", Location="https://[::ffff:127.0.0.1]/x.safetensors")


async def redirects_to_rubbish(call: Call) -> None:
    await call.answer(status="302 Found", Location="https://[nonsense/")


async def floods_with_headers(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await call.send(b"".join(b"X-%d: 1\r\n" % number for number in range(1000)))


async def sends_one_endless_header(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        await call.send(b"a" * 65536)


async def speaks_no_http(call: Call) -> None:
    await call.send(b"SSH-2.0-OpenSSH_9.6\r\n")


async def stops_in_the_middle(call: Call) -> None:
    await call.answer(FILE[:100_000], Content_Length=str(len(FILE)))
    await asyncio.sleep(30)


async def resets_in_the_middle(call: Call) -> None:
    await call.answer(FILE[:100_000], Content_Length=str(len(FILE)))
    raw: socket.socket = call.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    call.writer.transport.abort()


async def sends_a_part_unasked(call: Call) -> None:
    await call.answer(FILE, status="206 Partial", Content_Range=f"bytes 0-{len(FILE) - 1}/{len(FILE)}")


def resumes_with(content_range: Callable[[int], str], etag: str = '"a"') -> Script:
    """Breaks off the first time; the second time it says that it goes on, with a Content-Range of its own."""

    async def script(call: Call) -> None:
        if call.number == 0:
            await call.breaks_off(FILE[:100_000], Content_Length=str(len(FILE)), ETag='"a"')
            return
        start = int(call.header("range").removeprefix("bytes=").rstrip("-") or 0)
        line = content_range(start)
        await call.answer(FILE[start:], status="206 Partial Content", ETag=etag, Content_Range=line)

    script.__name__ = "resumes"
    return script


def refuses_with(status: str, **headers: str) -> Script:
    async def script(call: Call) -> None:
        await call.answer(b"{}", status=status, **headers)

    script.__name__ = status
    return script


LAST = "{0}-{1}/{1}"
CASES: list[tuple[str, Script, type[Exception], str]] = [
    (script.__name__.replace("_", " "), script, error, words)
    for script, error, words in (
        (drips_a_byte_at_a_time, TooSlow, "bytes in 0.4 seconds"),
        (drips_its_headers, TooSlow, "too long"),
        (never_answers, TooSlow, "too long"),
        (sends_without_end, TooLarge, "more than the 0.4 MB"),
        (sends_chunks_without_end, TooLarge, "more than the 0.4 MB"),
        (says_it_is_huge, TooLarge, "at most 0.4 MB"),
        (says_a_length_below_zero, SourceBroken, "not HTTP"),
        (says_two_lengths, SourceBroken, "not HTTP"),
        (says_more_than_it_sends, Interrupted, "hung up in the middle"),
        (says_less_than_it_sends, HashDiffers, "was not kept"),
        (says_no_length_and_stops_early, HashDiffers, "was not kept"),
        (sends_nothing, SourceUnusable, "empty"),
        (sends_eight_bytes, SourceUnusable, "8 bytes"),
        (compresses, SourceBroken, "compressed"),
        (compresses_in_secret, SourceUnusable, "gzip"),
        (sends_a_web_page, SourceUnusable, "web page"),
        (sends_a_web_page_as_safetensors, SourceUnusable, "web page"),
        (sends_a_pickle, SourceUnusable, "pickle"),
        (sends_a_zip, SourceUnusable, "zip"),
        (sends_a_lying_header, SourceUnusable, "does not begin like one"),
        (sends_other_bytes, HashDiffers, "SHA256"),
        (redirects_to_itself, SourceBroken, "more than 3 times"),
        (redirects_nowhere, SourceBroken, "does not say which"),
        (redirects_to_a_file_of_ours, AddressRefused, "https"),
        (redirects_to_the_metadata_service, AddressRefused, "public"),
        (redirects_to_plain_http, AddressRefused, "https"),
        (redirects_into_mapped_ipv6, AddressRefused, "public"),
        (redirects_to_rubbish, SourceBroken, "does not say which"),
        (floods_with_headers, SourceBroken, "not HTTP"),
        (sends_one_endless_header, SourceBroken, "not HTTP"),
        (speaks_no_http, SourceBroken, "not HTTP"),
        (stops_in_the_middle, TooSlow, "stopped sending"),
        (resets_in_the_middle, Interrupted, "hung up"),
        (sends_a_part_unasked, SourceBroken, "error 206"),
        (refuses_with("401 Unauthorized"), SourceLocked, "not open to everybody"),
        (refuses_with("403 Forbidden"), SourceLocked, "not open to everybody"),
        (refuses_with("404 Not Found"), SourceMissing, "nothing at this address"),
        (refuses_with("410 Gone"), SourceRemoved, "taken away"),
        (refuses_with("429 Too Many", Retry_After="7"), SourceBusy, "in 7 seconds"),
        (refuses_with("503 Unavailable"), Interrupted, "error 503"),
    )
] + [
    ("resumes at another place", resumes_with(lambda at: f"bytes 0-{at}/{len(FILE)}"), SourceBroken, "another part"),
    ("resumes another length", resumes_with(lambda at: f"bytes {at}-{at + 9}/{at + 10}"), SourceBroken, "another part"),
    ("resumes without a range", resumes_with(lambda at: ""), SourceBroken, "does not say which"),
    ("resumes with rubbish", resumes_with(lambda at: "bytes */x"), SourceBroken, "does not say which"),
    (
        "resumes another file",
        resumes_with(lambda at: f"bytes {at}-{len(FILE) - 1}/{len(FILE)}", etag='"b"'),
        SourceBroken,
        "another file",
    ),
]


@pytest.mark.parametrize(("script", "error", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
async def test_a_server_that(sites: Sites, script: Script, error: type[ImportRefused], words: str) -> None:
    clock = asyncio.get_running_loop().time
    async with raw_server(script) as server:
        start = clock()
        with pytest.raises(error, match=words.replace(".", r"\.")) as refusal:
            await fetch(sites, server, hashes={"SHA256": hashlib.sha256(FILE).hexdigest()})
        assert clock() - start < 5
        assert len(server.calls) <= 4
        assert server.sent < 4 * CAP + 16_000_000  # what lies in the buffers of the system was sent, not taken
    assert type(refusal.value) is error
    assert "127.0.0.1:" not in str(refusal.value)
    assert sites.leftovers() == []


async def test_a_file_that_is_no_adapter_is_refused_by_the_engine(sites: Sites) -> None:
    async with raw_server(sends_no_adapter) as server:
        with pytest.raises((AdapterInvalid, AdapterUnsupported)):
            await fetch(sites, server)
    assert sites.leftovers() == []


async def test_a_server_without_tls_is_not_spoken_to(sites: Sites) -> None:

    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    secure = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    importer = sites.allowing(secure)
    with pytest.raises(SourceBroken, match="certificate"):
        async with importer.fetch(preflight(f"{secure}/x.safetensors")):
            pass
    server.close()
    assert sites.leftovers() == []


async def test_nobody_listening_is_said(sites: Sites) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    importer = sites.allowing(url)
    with pytest.raises(Interrupted, match="cannot be reached"):
        async with importer.fetch(preflight(f"{url}/x.safetensors")):
            pass


async def test_a_broken_download_goes_on_where_it_was(sites: Sites, adapter: bytes) -> None:
    """Twice, with the range after what is there, and only for the same ETag."""
    sites.network.bounds = replace(sites.network.bounds, attempts=3)
    asked: list[tuple[str, str]] = []

    async def script(call: Call) -> None:
        asked.append((call.header("range"), call.header("if-range")))
        if call.number == 0:
            await call.breaks_off(FILE[:80_000], Content_Length=str(len(FILE)), ETag='"a"')
            return
        start = int(call.header("range").removeprefix("bytes=").rstrip("-"))
        end = 120_000 if call.number == 1 else len(FILE)
        await call.breaks_off(
            FILE[start:end],
            status="206 Partial Content",
            ETag='"a"',
            Content_Length=str(len(FILE) - start),
            Content_Range=f"bytes {start}-{len(FILE) - 1}/{len(FILE)}",
        )

    async with raw_server(script) as server:
        importer = sites.allowing(server.url)
        async with importer.fetch(preflight(f"{server.url}/x.safetensors")) as fetched:
            assert fetched.path.read_bytes() == adapter
    assert asked == [("", ""), ("bytes=80000-", '"a"'), ("bytes=120000-", '"a"')]


@pytest.mark.parametrize("etag", ['"a"', 'W/"a"', ""])
async def test_a_file_that_changed_meanwhile_is_begun_anew(sites: Sites, adapter: bytes, etag: str) -> None:
    """A server that no longer has the state of If-Range answers 200 with the new file; one without a strong ETag is
    not asked for a part at all."""

    async def script(call: Call) -> None:
        if call.number == 0:
            await call.breaks_off(
                b"\x10" + b"\0" * 7 + b"{" + b"old" * 20_000, Content_Length=str(len(FILE)), ETag=etag
            )
        else:
            assert bool(call.header("range")) == (etag == '"a"')
            await call.answer(FILE, ETag='"b"')

    async with raw_server(script) as server:
        importer = sites.allowing(server.url)
        async with importer.fetch(preflight(f"{server.url}/x.safetensors")) as fetched:
            assert fetched.path.read_bytes() == adapter
            assert fetched.provenance.version == '"b"'


async def test_a_range_that_is_no_longer_there_is_begun_anew(sites: Sites, adapter: bytes) -> None:
    sites.network.bounds = replace(sites.network.bounds, attempts=3)

    async def script(call: Call) -> None:
        if call.number == 0:
            await call.breaks_off(FILE[:50_000], Content_Length=str(len(FILE)), ETag='"a"')
        elif call.header("range"):
            await call.answer(status="416 Range Not Satisfiable")
        else:
            await call.answer(FILE)

    async with raw_server(script) as server:
        importer = sites.allowing(server.url)
        async with importer.fetch(preflight(f"{server.url}/x.safetensors")) as fetched:
            assert fetched.path.read_bytes() == adapter


async def test_a_token_stays_behind_at_a_redirect(sites: Sites) -> None:
    """To another port of the same host as well: an origin is all three."""

    async def trap(call: Call) -> None:
        await call.answer(FILE)

    async with raw_server(trap) as other:

        async def away(call: Call) -> None:
            await call.answer(status="302 Found", Location=f"{other.url}/x.safetensors")

        async with raw_server(away) as server:
            importer = sites.allowing(server.url, other.url)
            async with importer._network.ask(f"{server.url}/x", token=Token.of(server.url, "canary")) as answer:
                assert answer.status == 200
            assert server.calls[0].header("authorization") == "bearer canary"
            assert other.calls[0].header("authorization") == ""
            assert "canary" not in other.calls[0].head


async def test_a_full_disk_is_said_before_it_is_full(sites: Sites) -> None:
    sites.network.bounds = replace(sites.network.bounds, reserve=1 << 60)

    async def script(call: Call) -> None:
        await call.answer(FILE)

    async with raw_server(script) as server:
        with pytest.raises(NoRoom, match="not enough room"):
            await fetch(sites, server)
    assert sites.leftovers() == []


async def test_the_whole_download_has_an_end(sites: Sites) -> None:
    """A server that is just fast enough for every window is still ended by the total."""
    sites.network.bounds = replace(sites.network.bounds, total=0.5, window_bytes=1)
    async with raw_server(drips_a_byte_at_a_time) as server:
        with pytest.raises(TooSlow, match="longer than"):
            await fetch(sites, server)
    assert sites.leftovers() == []


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 25
    assert len({name for name, *_ in CASES}) == len(CASES)
