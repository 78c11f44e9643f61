"""Hugging Face, played by a server that answers as documented; huggingface_hub asks it."""

from __future__ import annotations

from typing import Any

import pytest

from bot.importing import (
    HuggingFace,
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

from .conftest import Sites

FILE = "pytorch_lora_weights.safetensors"


async def look(sites: Sites, text: str = "maker/ink") -> Preflight:
    return await sites.importer.preflight(parse_source(text))


async def test_everything_that_the_repository_says_is_there(sites: Sites, adapter: bytes) -> None:
    found = await look(sites)
    assert found.source == HuggingFace("maker/ink", FILE)
    assert (found.title, found.creator, found.size) == ("ink", "maker", len(adapter))
    assert (found.base, found.family) == ("stable-diffusion-v1-5/stable-diffusion-v1-5", "SD 1.5")
    assert found.page == f"https://huggingface.co/maker/ink/blob/main/{FILE}"
    assert found.hashes == {"SHA256": sites.hub.info["siblings"][1]["lfs"]["sha256"]}
    assert found.scans == {"Hub": "Success"}
    assert found.licence == Licence("creativeml-openrail-m")
    assert found.triggers == ("ink style",)
    assert found.description == "Ink A brush. x"
    assert found.previews == (Preview(f"{sites.hub.url}/maker/ink/resolve/{sites.hub.commit}/sample.png", False),)
    assert (found.mature, found.warnings) == (False, ())


@pytest.mark.parametrize(
    "text", ["maker/ink@v1", f"maker/ink/{FILE}", f"https://huggingface.co/maker/ink/resolve/main/{FILE}?download=true"]
)
async def test_all_ways_lead_to_the_same_commit(sites: Sites, text: str) -> None:
    """What was looked at is what is fetched, however the branch moves."""
    assert (await look(sites, text)).address == (await look(sites)).address
    assert sites.hub.commit in (await look(sites)).address


async def test_of_several_files_one_must_be_named(sites: Sites, adapter: bytes) -> None:
    sites.hub.info["siblings"] = [sites.hub.sibling(f"{name}.safetensors", adapter) for name in ("a", "b", "sub/c")]
    with pytest.raises(SourceUnclear, match=r"3 files: a\.safetensors, b\.safetensors, sub/c\.safetensors\. Name one"):
        await look(sites)
    assert (await look(sites, "maker/ink/b.safetensors")).file_name == "b.safetensors"
    assert (await look(sites, "https://huggingface.co/maker/ink/tree/main/sub")).file_name == "c.safetensors"


@pytest.mark.parametrize(
    ("siblings", "text", "error", "words"),
    [
        (["pytorch_lora_weights.bin"], "maker/ink", SourceUnusable, "Only pickles"),
        (["README.md"], "maker/ink", SourceMissing, "holds no .safetensors"),
        (["README.md"], "maker/ink/x.safetensors", SourceMissing, "no file or folder x"),
        (["x.bin"], "maker/ink/x.bin", SourceUnusable, "not a .safetensors"),
    ],
)
async def test_a_repository_without_a_fitting_file(
    sites: Sites, siblings: list[str], text: str, error: type[ImportRefused], words: str
) -> None:
    sites.hub.info["siblings"] = [{"rfilename": name, "size": 5} for name in siblings]
    with pytest.raises(error, match=words.replace(".", r"\.")):
        await look(sites, text)


async def test_what_a_scan_found_is_refused_and_what_is_not_scanned_is_told(sites: Sites) -> None:
    sites.hub.info["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": [{"path": FILE, "level": "unsafe"}]}
    with pytest.raises(SourceUnusable, match="dangerous"):
        await look(sites)
    sites.hub.info["securityRepoStatus"] = {"scansDone": False, "filesWithIssues": []}
    assert (await look(sites)).warnings == ("Hugging Face's scan has not passed it: Pending.",)


async def test_a_card_written_badly_is_read_as_far_as_it_can_be(sites: Sites) -> None:
    sites.hub.info["cardData"] = {"license": ["mit", 5], "instance_prompt": {"a": 1}, "widget": [3, {"output": "x"}]}
    found = await look(sites)
    assert (found.licence.name, found.triggers, found.previews) == ("mit", (), ())
    assert found.family == "SD 1.5"  # by the tag


async def test_another_model_s_adapter_is_refused_before_the_download(sites: Sites) -> None:
    sites.hub.info["cardData"] = {"base_model": "black-forest-labs/FLUX.1-dev"}
    with pytest.raises(SourceUnusable, match=r"FLUX\.1-dev"):
        await look(sites)


async def test_what_is_not_for_all_audiences_is_marked(sites: Sites) -> None:
    sites.hub.info["tags"].append("not-for-all-audiences")
    found = await look(sites)
    assert found.mature
    assert all(preview.mature for preview in found.previews)


ANSWERS: list[tuple[int, str, dict[str, str], type[ImportRefused], str]] = [
    (401, "GatedRepo", {}, SourceLocked, "gated"),
    (403, "GatedRepo", {}, SourceLocked, "gated"),
    (401, "RepoNotFound", {}, SourceMissing, "no such repository, or it is private"),
    (404, "RevisionNotFound", {}, SourceMissing, "no such branch"),
    (404, "EntryNotFound", {}, SourceMissing, "no such file"),
    (403, "", {}, SourceLocked, "does not let"),
    (410, "", {}, SourceRemoved, "removed"),
    (429, "", {"RateLimit": '"api";r=0;t=55'}, SourceBusy, "in 55 seconds"),
    (429, "", {"Retry-After": "7"}, SourceBusy, "in 7 seconds"),
]


@pytest.mark.parametrize(("status", "code", "headers", "error", "words"), ANSWERS)
async def test_a_refusal_is_explained_by_its_code(
    sites: Sites, status: int, code: str, headers: dict[str, str], error: type[ImportRefused], words: str
) -> None:
    """The same for the repository, which the library asks, and for the file, which our client fetches."""
    found = await look(sites)
    sites.hub.refuse["/resolve/"] = [(status, code, headers)]
    with pytest.raises(error, match=words):
        async with sites.importer.fetch(found):
            pass
    sites.hub.refuse["/api/"] = [(status, code, headers)]
    with pytest.raises(error, match=words):
        await look(sites)
    assert sites.leftovers() == []


async def test_a_missing_repository_and_revision(sites: Sites) -> None:
    with pytest.raises(SourceMissing, match="private"):
        await look(sites, "maker/nothing")
    with pytest.raises(SourceMissing, match="branch"):
        await look(sites, "maker/ink@nothing")


async def test_a_disabled_repository(sites: Sites) -> None:
    message = {"X-Error-Message": "Access to this resource is disabled."}
    sites.hub.refuse["/api/"] = [(403, "", message)]
    with pytest.raises(SourceRemoved, match="disabled"):
        await look(sites)


@pytest.mark.parametrize(
    "fields",
    [
        {"siblings": 3},
        {"siblings": [{}]},
        {"siblings": [{"rfilename": 5}]},
        {"siblings": [{"rfilename": "a.safetensors", "lfs": {"size": 1, "sha256": 3, "pointerSize": 1}}]},
        {"siblings": [{"rfilename": "a.safetensors", "size": "large"}]},
        {"sha": None},
        {"cardData": 5, "createdAt": "yesterday"},
    ],
    ids=str,
)
async def test_an_answer_that_is_not_as_documented(sites: Sites, fields: dict[str, Any]) -> None:
    sites.hub.info |= fields
    with pytest.raises(SourceBroken, match="cannot be read"):
        await look(sites)


async def test_the_machine_s_own_login_is_not_used(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.importing.huggingface import Hub

    monkeypatch.setenv("HF_TOKEN", "hf_somebodys_own")
    await Hub(sites.network, hub=sites.hub.url).preflight(HuggingFace("maker/ink"))
    assert all("Authorization" not in request.headers for request in sites.hub.seen)
