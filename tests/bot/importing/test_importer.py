"""The whole way in, from what is typed to a validated file, against sites that answer as documented."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from bot.config import Imports
from bot.importing import (
    HashDiffers,
    ImportRefused,
    Provenance,
    Removed,
    SourceUnusable,
    TooLarge,
    Unchanged,
    Unknown,
    Updated,
    open_importer,
    parse_source,
)
from engine import AdapterInvalid, AdapterUnsupported, builtin_adapter

from .conftest import HUB_SECRET, SECRET, Sites
from .servers import Call, raw_server, tensor_hash


async def test_a_civitai_page_becomes_a_validated_file_with_its_origin(sites: Sites, adapter: bytes) -> None:
    preflight = await sites.importer.preflight(parse_source("https://civitai.com/models/12345"))
    steps: list[tuple[int, int | None]] = []
    async with sites.importer.fetch(preflight, lambda done, total: steps.append((done, total))) as fetched:
        assert fetched.path.read_bytes() == adapter
        assert (fetched.info.name, fetched.info.family) == ("ink", "SD 1.5")
        assert fetched.info.tensor_sha256 == tensor_hash(adapter)
        assert fetched.provenance.sha256 == fetched.info.sha256
        assert fetched.provenance.creator == "brushmaker"
        assert '"allowCommercialUse"' in fetched.provenance.snapshot
    assert steps[-1] == (len(adapter), len(adapter))
    assert sites.leftovers() == []


async def test_a_repository_becomes_a_validated_file_with_its_origin(sites: Sites, adapter: bytes) -> None:
    preflight = await sites.importer.preflight(parse_source("maker/ink"))
    async with sites.importer.fetch(preflight) as fetched:
        assert fetched.path.read_bytes() == adapter
        assert fetched.provenance.version == sites.hub.commit
    assert sites.leftovers() == []


async def test_tokens_stay_with_their_site(sites: Sites) -> None:
    """The file and the pictures come from another origin, which sees neither of the two."""
    for text in ("12345@67890", "maker/ink"):
        async with sites.importer.fetch(await sites.importer.preflight(parse_source(text))):
            pass
    assert {request.headers.get("Authorization") for request in sites.civitai.seen} == {f"Bearer {SECRET}"}
    assert {request.headers.get("Authorization") for request in sites.hub.seen} <= {f"Bearer {HUB_SECRET}", None}
    assert {"Bearer" in str(request.headers) for request in sites.cdn.seen} == {False}
    assert all(SECRET not in str(request.url) for request in sites.cdn.seen + sites.civitai.seen)


async def test_sample_pictures_are_drawn_anew_and_a_missing_one_is_told(sites: Sites) -> None:
    source = parse_source("12345@67890")
    sites.cdn.files["mature.png"] = b"\x89PNG\r\n\x1a\n and then nothing"
    sites.civitai.version["images"][0]["url"] += "?signature=s%252F1"
    sites.civitai.version["images"][2]["url"] += "?signature=s%252F1"
    async with sites.importer.fetch(await sites.importer.preflight(source)) as fetched:
        (sample,) = fetched.previews
        image = Image.open(io.BytesIO(sample.webp))
        assert (image.format, image.size, sample.mature) == ("WEBP", (64, 48), False)
        assert fetched.provenance.warnings == ("1 of 2 sample pictures could not be kept.",)


async def test_other_bytes_than_the_source_states_are_not_kept(sites: Sites, adapter: bytes) -> None:
    preflight = await sites.importer.preflight(parse_source("12345@67890"))
    sites.cdn.files["ink.safetensors"] = adapter[:-4] + b"\0\0\0\0"
    with pytest.raises(HashDiffers, match="SHA256"):
        async with sites.importer.fetch(preflight):
            pass
    assert sites.leftovers() == []


async def test_a_hash_that_was_asked_for_must_be_the_file_s(sites: Sites, adapter: bytes) -> None:
    """Also where the site answers with a version that states another one."""
    digest = sites.civitai.hashes["AutoV2"].lower()
    sites.civitai.version["files"][1]["hashes"] = {}
    sites.cdn.files["ink.safetensors"] = adapter[:-4] + b"\0\0\0\0"
    preflight = await sites.importer.preflight(parse_source(digest))
    with pytest.raises(HashDiffers, match=digest):
        async with sites.importer.fetch(preflight):
            pass


async def test_a_damaged_file_is_refused_by_the_engine(sites: Sites, adapter: bytes) -> None:
    """Right hash, wrong content: the source's word is no proof of an adapter."""
    broken = adapter[:-100]
    sites.cdn.files["ink.safetensors"] = broken
    sites.civitai.version["files"][1]["hashes"] = {"SHA256": hashlib.sha256(broken).hexdigest()}
    with pytest.raises(AdapterInvalid):
        async with sites.importer.fetch(await sites.importer.preflight(parse_source("12345@67890"))):
            pass
    assert sites.leftovers() == []


async def test_too_large_is_said_before_anything_is_fetched(sites: Sites) -> None:
    sites.civitai.version["files"][1]["sizeKB"] = 10_000_000
    with pytest.raises(TooLarge, match=r"10,240 MB; at most 512 MB"):
        await sites.importer.preflight(parse_source("12345@67890"))


async def test_another_family_than_the_page_says_is_told(sites: Sites) -> None:
    sites.civitai.version["baseModel"] = "SDXL 1.0"
    async with sites.importer.fetch(await sites.importer.preflight(parse_source("12345@67890"))) as fetched:
        assert fetched.provenance.warnings[0] == "Its page says SDXL 1.0, and its layers are those of SD 1.5."


async def test_cancelling_leaves_nothing(sites: Sites, adapter: bytes) -> None:
    begun = asyncio.Event()

    async def stalls(call: Call) -> None:
        await call.answer(adapter[:100_000], Content_Length=str(len(adapter)))
        if call.number == 1:  # the second question is the download
            begun.set()
        await asyncio.sleep(60)

    async with raw_server(stalls) as server:
        importer = sites.allowing(server.url)
        preflight = await importer.preflight(parse_source(f"{server.url}/a.safetensors"))

        async def fetch() -> None:
            async with importer.fetch(preflight):
                pass

        task = asyncio.create_task(fetch())
        await asyncio.wait_for(begun.wait(), 5)
        assert sites.leftovers()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert sites.leftovers() == []


async def test_what_a_killed_run_left_behind_is_gone(tmp_path: Path) -> None:
    left = tmp_path / "incoming" / "import-abc"
    left.mkdir(parents=True)
    (left / "file.safetensors").write_bytes(b"half")
    async with open_importer(Imports(), tmp_path / "incoming") as importer:
        assert list(importer.folder.iterdir()) == []


async def test_an_upload_goes_through_the_same_checks(sites: Sites, adapter: bytes, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(adapter)
    bad.write_bytes(b"\x80\x02cos\nsystem\n" * 10)
    fetched = await sites.importer.from_upload(good, "../../My Ink.SAFETENSORS")
    assert (fetched.info.name, fetched.provenance.file_name) == ("My Ink", "My Ink.safetensors")
    assert await sites.importer.check(fetched.provenance) == Unchanged()
    with pytest.raises(SourceUnusable, match="pickle"):
        await sites.importer.from_upload(bad, "x.safetensors")
    assert good.exists()


async def test_where_a_file_came_from_survives_being_written_down(sites: Sites) -> None:
    async with sites.importer.fetch(await sites.importer.preflight(parse_source("12345@67890"))) as fetched:
        assert Provenance.from_json(fetched.provenance.to_json()) == fetched.provenance
    with pytest.raises(ImportRefused):
        Provenance.from_json('{"licence": {}}')


async def _origin(sites: Sites, text: str) -> Provenance:
    async with sites.importer.fetch(await sites.importer.preflight(parse_source(text))) as fetched:
        return fetched.provenance


async def test_a_newer_version_at_civitai_is_noticed(sites: Sites) -> None:
    origin = await _origin(sites, "12345@67890")
    assert await sites.importer.check(origin) == Unchanged()
    sites.civitai.model["modelVersions"].insert(0, {"id": 70000, "name": "v3"})
    later = sites.allowing()  # the old one still has its answers
    assert await later.check(origin) == Updated("v3", "https://civitai.com/models/12345?modelVersionId=70000")


async def test_a_changed_file_at_the_hub_is_noticed(sites: Sites, adapter: bytes) -> None:
    origin = await _origin(sites, "maker/ink")
    assert await sites.importer.check(origin) == Unchanged()
    sites.hub.info["siblings"] = [sites.hub.sibling("pytorch_lora_weights.safetensors", adapter + b"\0")]
    sites.hub.info["sha"] = "d00d" * 10
    assert isinstance(await sites.importer.check(origin), Updated)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_removal_is_noticed_and_not_fatal(sites: Sites, status: int) -> None:
    for text, refuse in (("12345@67890", sites.civitai.refuse), ("maker/ink", sites.hub.refuse)):
        origin = await _origin(sites, text)
        refuse["/api/"] = [(status, {}, {})] if refuse is sites.civitai.refuse else [(status, "", {})]  # type: ignore[list-item]
        assert isinstance(await sites.allowing().check(origin), Removed), text


async def test_a_source_that_cannot_be_asked_is_no_removal(sites: Sites) -> None:
    origin = await _origin(sites, "12345@67890")
    sites.civitai.refuse["/api/"] = [(403, {}, {})]
    assert isinstance(await sites.allowing().check(origin), Unknown)


@pytest.mark.parametrize("length", [0x0180, 0x4B50, 0x5A50])
async def test_a_header_s_length_may_begin_like_a_pickle_or_a_zip(sites: Sites, tmp_path: Path, length: int) -> None:
    """0x80 begins a pickle, "PK" a zip: one file in 32 is of such a length, the built-in ink among them."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    odd = tmp_path / "odd"
    odd.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + b"\0\0\x80\x3f")
    with pytest.raises(AdapterUnsupported):  # by the engine, which has read it; no kind of file that it is not
        await sites.importer.from_upload(odd, "odd.safetensors")
    fetched = await sites.importer.from_upload(builtin_adapter("ink"), "ink.safetensors")
    assert fetched.info.family == "built-in"
