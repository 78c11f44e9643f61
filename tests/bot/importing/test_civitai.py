"""Civitai, played by a server that answers as documented."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.importing import (
    Civitai,
    FileHash,
    ImportRefused,
    Licence,
    Preflight,
    Preview,
    SourceBroken,
    SourceBusy,
    SourceLocked,
    SourceMissing,
    SourceRemoved,
    SourceUnclear,
    SourceUnusable,
    parse_source,
)
from bot.importing.civitai import MATURE_SITE, CivitaiSite, _choose, _described, _refuse_kind
from bot.importing.families import is_foreign, stated_family
from bot.importing.foreign import Foreign

from .conftest import Sites


async def look(sites: Sites, text: str = "12345@67890") -> Preflight:
    return await sites.importer.preflight(parse_source(text))


async def test_everything_that_the_page_says_is_there(sites: Sites, adapter: bytes) -> None:
    found = await look(sites)
    assert found.source == Civitai(12345, 67890, 2)
    assert (found.title, found.version, found.creator, found.kind) == ("Ink", "v2", "brushmaker", "LORA")
    assert (found.base, found.family, found.size) == ("SD 1.5", "SD 1.5", len(adapter))
    assert found.page == "https://civitai.com/models/12345?modelVersionId=67890"
    assert found.hashes["SHA256"] == sites.civitai.hashes["SHA256"].lower()
    assert found.scans == {"pickle": "Success", "virus": "Success"}
    assert found.licence == Licence("", True, ("Image", "RentCivit"), True, False)
    assert found.triggers == ("ink style", "brush")
    assert found.description == "Ink on paper ."
    assert found.previews == (
        Preview(f"{sites.cdn.url}/sample.png", False, 1),
        Preview(f"{sites.cdn.url}/mature.png", True, 8),
    )
    assert (found.mature, found.real_person, found.warnings) == (False, False, ())


@pytest.mark.parametrize("text", ["https://civitai.com/models/12345", "urn:air:sd15:lora:civitai:12345@67890"])
async def test_all_ways_lead_to_the_same_file(sites: Sites, text: str) -> None:
    assert await look(sites, text) == await look(sites)


@pytest.mark.parametrize("kind", ["SHA256", "AutoV2", "AutoV3"])
async def test_a_hash_finds_the_very_file_that_has_it(sites: Sites, kind: str) -> None:
    """And not the primary one beside it."""
    other = dict(sites.civitai.version["files"][1], id=9, name="other.safetensors", hashes={"SHA256": "f" * 64})
    sites.civitai.version["files"].insert(0, other)
    found = await look(sites, sites.civitai.hashes[kind])
    assert found.source == Civitai(12345, 67890, 2)


async def test_training_data_is_never_the_file(sites: Sites) -> None:
    sites.civitai.version["files"][1]["primary"] = False
    sites.civitai.version["files"][0] |= {"name": "data.safetensors", "primary": True}
    assert (await look(sites)).file_name == "ink.safetensors"


def change(**fields: Any) -> dict[str, Any]:
    return fields


@pytest.mark.parametrize(
    ("model", "version", "file", "error", "words"),
    [
        (change(type="Checkpoint"), {}, {}, SourceUnusable, "a Checkpoint"),
        (change(type="TextualInversion"), {}, {}, SourceUnusable, "a TextualInversion"),
        (change(mode="TakenDown"), {}, {}, SourceRemoved, "taken down"),
        (change(mode="Archived"), {}, {}, SourceRemoved, "archived"),
        ({}, change(usageControl="InternalGeneration"), {}, SourceLocked, "no download"),
        ({}, change(baseModel="Flux.1 D"), {}, SourceUnusable, r"Flux\.1 D"),
        ({}, change(files=[]), {}, SourceMissing, "no such file"),
        ({}, change(modelId=7), {}, SourceUnclear, "does not belong"),
        ({}, {}, change(type="Config"), SourceUnusable, "only Config, Training Data"),
        ({}, {}, change(name="ink.pt", metadata={"format": "PickleTensor"}), SourceUnusable, "pickle"),
        ({}, {}, change(virusScanResult="Danger"), SourceUnusable, "dangerous"),
        ({}, {}, change(pickleScanResult="Danger"), SourceUnusable, "dangerous"),
        ({}, {}, change(sizeKB="large"), SourceBroken, r"files\[1\]\.sizeKB is not as documented"),
    ],
)
async def test_what_stands_against_it_is_said_before_the_download(
    sites: Sites,
    model: dict[str, Any],
    version: dict[str, Any],
    file: dict[str, Any],
    error: type[ImportRefused],
    words: str,
) -> None:
    sites.civitai.model |= model
    sites.civitai.version["files"][1] |= file
    sites.civitai.version |= version
    with pytest.raises(error, match=words):
        await look(sites)
    assert sites.cdn.seen == []


@pytest.mark.parametrize("kind", ["LORA", "LoCon", "DoRA"])
async def test_every_kind_of_adapter_is_taken(sites: Sites, kind: str) -> None:
    sites.civitai.model["type"] = kind
    assert (await look(sites)).kind == kind


async def test_what_is_doubtful_is_told(sites: Sites) -> None:
    sites.civitai.model |= {"nsfw": True, "poi": True}
    sites.civitai.version |= {"availability": "EarlyAccess", "earlyAccessEndsAt": "2026-12-01T00:00:00.000Z"}
    sites.civitai.version["files"][1] |= {"virusScanResult": "Pending", "hashes": {}}
    found = await look(sites)
    assert found.mature
    assert found.real_person
    assert found.warnings == (
        "Civitai's virus scan has not passed it: Pending.",
        "Civitai states no hash of this file, so it cannot be compared.",
        "It is in early access until 2026-12-01T00:00:00.000Z; Civitai may refuse the download.",
    )


async def test_a_version_outlives_its_page(sites: Sites) -> None:
    sites.civitai.refuse["/api/v1/models/"] = [(404, {"error": "gone"}, {})]
    found = await look(sites)
    assert (found.title, found.licence) == ("Ink", Licence())
    assert "not known" in found.warnings[0]


ANSWERS: list[tuple[int, dict[str, Any], dict[str, str], type[ImportRefused], str]] = [
    (401, {"error": "Unauthorized", "message": "Log in"}, {}, SourceLocked, "token is no longer good.*Log in"),
    (
        403,
        {"message": "Early Access", "deadline": "2026-12-01"},
        {},
        SourceLocked,
        "early access on Civitai until 2026",
    ),
    (403, {"message": "No grant"}, {}, SourceLocked, "does not let this bot.*No grant"),
    (404, {"error": "Not found"}, {}, SourceMissing, "nothing there"),
    (410, {"message": "Archived"}, {}, SourceRemoved, "archived or taken down"),
    (429, {"message": "unusual amount of downloading"}, {"Retry-After": "99"}, SourceBusy, "in 99 seconds.*unusual"),
    (418, {}, {}, SourceBroken, "error 418"),
]


@pytest.mark.parametrize(("status", "body", "headers", "error", "words"), ANSWERS)
async def test_a_download_that_is_refused_is_explained(
    sites: Sites, status: int, body: dict[str, Any], headers: dict[str, str], error: type[ImportRefused], words: str
) -> None:
    found = await look(sites)
    sites.civitai.refuse["/api/download/"] = [(status, body, headers)]
    with pytest.raises(error, match=words):
        async with sites.importer.fetch(found):
            pass
    assert sites.leftovers() == []


@pytest.mark.parametrize(("status", "body", "headers", "error", "words"), ANSWERS)
async def test_a_page_that_is_refused_is_explained(
    sites: Sites, status: int, body: dict[str, Any], headers: dict[str, str], error: type[ImportRefused], words: str
) -> None:
    sites.civitai.refuse["/api/v1/model-versions/"] = [(status, body, headers)]
    with pytest.raises(error, match=words):
        await look(sites)


async def test_without_a_token_a_login_is_explained(sites: Sites) -> None:
    site = CivitaiSite(sites.network, site=sites.civitai.url)
    sites.civitai.refuse["/api/v1/"] = [(401, {}, {})]
    with pytest.raises(SourceLocked, match="Whoever runs this bot can give it a Civitai token"):
        await site.preflight(Civitai(12345, 67890))
    assert "Authorization" not in sites.civitai.seen[0].headers


async def test_the_same_is_asked_once_also_when_it_is_not_there(sites: Sites) -> None:
    for _ in range(3):
        await look(sites)
        with pytest.raises(SourceMissing):
            await look(sites, "5@6")
    assert len(sites.civitai.seen) == 3


async def test_one_question_at_a_time(sites: Sites) -> None:
    await asyncio.gather(*(look(sites) for _ in range(10)))
    assert len(sites.civitai.seen) == 2


async def test_a_short_wait_is_waited_and_a_long_one_is_told_to_everybody(sites: Sites) -> None:
    sites.civitai.refuse["/api/v1/model-versions/"] = [(429, {}, {"Retry-After": "0"})]
    assert (await look(sites)).title == "Ink"
    sites.civitai.refuse["/by-hash/"] = [(429, {}, {"Retry-After": "300"})]
    with pytest.raises(SourceBusy) as refusal:
        await look(sites, "a" * 64)
    assert refusal.value.retry_after == 300
    asked = len(sites.civitai.seen)
    with pytest.raises(SourceBusy, match="left alone"):
        await look(sites, "b" * 64)
    assert len(sites.civitai.seen) == asked


async def test_what_one_site_hides_the_other_is_asked_for_without_a_token(sites: Sites) -> None:
    sites.civitai.refuse["/api/v1/"] = [(404, {}, {})]
    # The same server under another origin: "localhost" is not where the token belongs.
    site = CivitaiSite(sites.network, site=sites.civitai.url, mature_site=sites.hub.url, token="canary")
    with pytest.raises(SourceMissing):
        await site.preflight(Civitai(12345, 67890))
    assert site._mature_site == sites.hub.url
    assert CivitaiSite(sites.network)._mature_site == MATURE_SITE
    assert CivitaiSite(sites.network, site=sites.civitai.url)._mature_site == ""


@pytest.mark.parametrize(
    ("base", "family", "foreign"),
    [
        ("SD 1.4", "SD 1.5", False),
        ("SD 1.5", "SD 1.5", False),
        ("SD 1.5 LCM", "SD 1.5", False),
        ("SD 2.1 768", "SD 2", False),
        ("SDXL 1.0", "SDXL", False),
        ("SDXL Turbo", "SDXL", False),
        ("Pony", "SDXL", False),
        ("Illustrious", "SDXL", False),
        ("NoobAI", "SDXL", False),
        ("Pony V7", "", True),
        ("SD 3.5 Large", "", True),
        ("Flux.1 D", "", True),
        ("Qwen", "", True),
        ("Other", "", False),
        ("", "", False),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "SD 1.5", False),
        ("CompVis/stable-diffusion-v1-4", "SD 1.5", False),
        ("stabilityai/stable-diffusion-xl-base-1.0", "SDXL", False),
        ("stabilityai/stable-diffusion-2-1", "SD 2", False),
        ("black-forest-labs/FLUX.1-dev", "", True),
        ("stabilityai/stable-diffusion-3-medium", "", True),
    ],
)
def test_a_base_is_one_of_our_families_or_known_to_be_none(base: str, family: str, foreign: bool) -> None:
    assert (stated_family(base), is_foreign(base)) == (family, foreign)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_KEYS = "id modelId name baseModel nsfwLevel trainedWords usageControl model files images type hashes".split()
_FILES = st.lists(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("id", "name", "type", "sizeKB", "metadata", "hashes", "primary"), _JSON)
    )
    | _JSON,
    max_size=2,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    version=st.fixed_dictionaries({}, optional=dict.fromkeys(_KEYS, _JSON) | {"files": _FILES}),
    model=st.dictionaries(st.sampled_from("name type mode poi nsfw tags creator description".split()), _JSON),
)
def test_no_answer_breaks_the_reading(version: dict[str, Any], model: dict[str, Any]) -> None:
    """Whatever JSON comes, it is read or refused with a sentence (N8)."""
    source = FileHash("a" * 64)
    try:
        read, page = Foreign(version, "Civitai's version"), Foreign(model, "Civitai's model")
        _refuse_kind(page, read)
        _described("https://civitai.com", source, read, page, _choose(source, read))
    except ImportRefused:
        pass
