"""The import table: what is typed, what becomes of it. `python -m tests.bot.importing.table` prints it as Markdown.

Every row is run against the servers of this folder, which answer as the sites are documented to.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.importing import ImportRefused, parse_source, picture_sources
from engine import EngineError

from .conftest import Sites, adapter_bytes, open_sites, picture_bytes
from .servers import Call, raw_server

Prepare = Callable[[Sites], None]


def nothing(sites: Sites) -> None: ...


@dataclass(frozen=True)
class Row:
    """`typed` may hold {sha256}, {autov2}, {autov3} of the file and {web}, the address of a plain server."""

    group: str
    typed: str
    outcome: str  # "added", or the name of the error
    prepare: Prepare = nothing
    note: str = field(default="")


def civitai(part: str, status: int, **body: str) -> Prepare:
    return lambda sites: sites.civitai.refuse.update({part: [(status, dict(body), {"Retry-After": "90"})]})


def hub(part: str, status: int, code: str = "") -> Prepare:
    return lambda sites: sites.hub.refuse.update({part: [(status, code, {"Retry-After": "90"})]})


def model(**fields: object) -> Prepare:
    return lambda sites: sites.civitai.model.update(fields)


def version(**fields: object) -> Prepare:
    return lambda sites: sites.civitai.version.update(fields)


def file(**fields: object) -> Prepare:
    return lambda sites: sites.civitai.version["files"][1].update(fields)


def other_bytes(sites: Sites) -> None:
    sites.cdn.files["ink.safetensors"] = adapter_bytes(seed=1)


PAGE, VERSION = "https://civitai.com/models/12345", "12345@67890"
ROWS = (
    Row("Civitai", PAGE, "added"),
    Row("Civitai", f"{PAGE}/ink?modelVersionId=67890", "added"),
    Row("Civitai", "https://civitai.red/models/12345", "added", note=".red"),
    Row("Civitai", "https://civitai.com/model-versions/67890", "added"),
    Row("Civitai", "https://civitai.com/api/download/models/67890", "added"),
    Row("Civitai", VERSION, "added"),
    Row("Civitai", f"{PAGE}?modelVersionId=1", "SourceMissing", note="no such version"),
    Row("Civitai", VERSION, "SourceLocked", civitai("/api/download/", 401, message="Log in"), "401 at the download"),
    Row("Civitai", VERSION, "SourceLocked", civitai("/api/download/", 403, deadline="2026-12-01"), "403 early access"),
    Row("Civitai", VERSION, "SourceMissing", civitai("/api/download/", 404), "404 at the download"),
    Row("Civitai", VERSION, "SourceRemoved", civitai("/api/download/", 410), "410 archived"),
    Row("Civitai", VERSION, "SourceBusy", civitai("/api/", 429), "429"),
    Row("Civitai", VERSION, "SourceUnusable", model(type="Checkpoint"), "a checkpoint"),
    Row("Civitai", VERSION, "SourceRemoved", model(mode="TakenDown"), "taken down"),
    Row("Civitai", VERSION, "SourceLocked", version(usageControl="Generation"), "no downloads allowed"),
    Row("Civitai", VERSION, "SourceUnusable", version(baseModel="Flux.1 D"), "made for Flux"),
    Row("Civitai", VERSION, "SourceUnusable", file(virusScanResult="Danger"), "failed scan"),
    Row("Civitai", VERSION, "SourceUnusable", file(name="x.pt", metadata={"format": "PickleTensor"}), "a pickle"),
    Row("Civitai", VERSION, "TooLarge", file(sizeKB=9e6), "9 GB"),
    Row("Civitai", VERSION, "HashDiffers", other_bytes, "other bytes than stated"),
    Row("Civitai", "https://civitai.com/images/5", "SourceUnclear"),
    Row("AIR", "urn:air:sd1:lora:civitai:12345@67890", "added"),
    Row("AIR", "urn:air:sd15:lora:civitai:12345@67890", "added"),
    Row("AIR", "URN:AIR:SD1:LoRA:Civitai:12345", "added", note="any case, newest version"),
    Row("AIR", "urn:air:sd1:lora:civitai:12345@67890+2.safetensors", "added", note="one file"),
    Row("AIR", "urn:air:sd1:lora:huggingface:maker/ink@main", "added"),
    Row("AIR", "urn:air:sd1:checkpoint:civitai:12345@67890", "SourceUnclear"),
    Row("Hash", "{sha256}", "added", note="SHA-256"),
    Row("Hash", "{autov2}", "added", note="AutoV2"),
    Row("Hash", "{autov3}", "added", note="AutoV3"),
    Row("Hash", "0123456789", "SourceMissing", note="unknown"),
    Row("Picture", "Lora hashes: ink: {autov3}", "added", note="infotext"),
    Row("Hugging Face", "maker/ink", "added"),
    Row("Hugging Face", "maker/ink@v1", "added"),
    Row("Hugging Face", "maker/ink/pytorch_lora_weights.safetensors", "added"),
    Row("Hugging Face", "https://huggingface.co/maker/ink", "added"),
    Row("Hugging Face", "https://huggingface.co/maker/ink/blob/main/pytorch_lora_weights.safetensors", "added"),
    Row("Hugging Face", "https://huggingface.co/maker/ink/resolve/v1/pytorch_lora_weights.safetensors", "added"),
    Row("Hugging Face", "maker/ink/README.md", "SourceUnusable"),
    Row("Hugging Face", "maker/ink/none.safetensors", "SourceMissing"),
    Row("Hugging Face", "maker/ink@nothing", "SourceMissing", note="no such revision"),
    Row("Hugging Face", "maker/nothing", "SourceMissing", note="missing or private"),
    Row("Hugging Face", "maker/ink", "SourceLocked", hub("/resolve/", 403, "GatedRepo"), "gated"),
    Row("Hugging Face", "maker/ink", "SourceBusy", hub("/api/", 429), "429"),
    Row("Hugging Face", "maker/ink", "HashDiffers", other_bytes, "other bytes than stated"),
    Row("Web", "{web}/ink.safetensors", "added", note="no hash stated"),
    Row("Web", "{web}/page.html", "SourceUnusable", note="a web page"),
    Row("Web", "{web}/missing", "SourceMissing"),
    Row("Web", "http://example.com/ink.safetensors", "AddressRefused", note="not https"),
    Row("Web", "https://127.0.0.1/ink.safetensors", "AddressRefused", note="this machine"),
    Row("Web", "https://169.254.169.254/latest", "AddressRefused", note="a cloud's metadata"),
    Row("Upload", "ink.safetensors", "added", note="upload, drop page, watch folder"),
    Row("Upload", "pickle.safetensors", "SourceUnusable", note="a pickle inside"),
    Row("Upload", "cut.safetensors", "AdapterInvalid", note="the end is missing"),
)


async def outcome(row: Row, folder: Path) -> tuple[str, str]:
    """What became of it, and the sentence a member reads; nothing is left on the way."""
    async with open_sites(adapter_bytes(), picture_bytes(), folder) as sites, raw_server(_plain) as server:
        row.prepare(sites)
        hashes = {kind.lower(): digest for kind, digest in sites.civitai.hashes.items()}
        importer = sites.allowing(server.url)
        typed = row.typed.format(web=server.url, **hashes)
        try:
            if row.group == "Upload":
                fetched = await importer.from_upload(_upload(folder, typed), typed)
                return "added", fetched.info.family
            if row.group == "Picture":
                name, _, digest = typed.removeprefix("Lora hashes: ").partition(": ")
                source = picture_sources({name: digest}).found[name]
            else:
                source = parse_source(typed)
            async with importer.fetch(await importer.preflight(source)) as fetched:
                return "added", fetched.info.family
        except (ImportRefused, EngineError) as error:
            return type(error).__name__, str(error)
        finally:
            assert sites.leftovers() == []


async def _plain(call: Call) -> None:
    path = call.head.split()[1]
    if path == "/missing":
        await call.answer(status="404 Not Found")
    else:
        await call.answer(b"<!doctype html>" + b" " * 100 if path == "/page.html" else adapter_bytes())


def _upload(folder: Path, name: str) -> Path:
    path = folder / name
    good = adapter_bytes()
    path.write_bytes({"pickle.safetensors": b"\x80\x02" + b"c" * 50, "cut.safetensors": good[:-9]}.get(name, good))
    return path


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def main() -> None:
    print("| source | typed | case | outcome | sentence |\n|---|---|---|---|---|")
    for row in ROWS:
        with _folder() as folder:
            what, sentence = asyncio.run(outcome(row, folder))
        print(f"| {row.group} | `{row.typed}` | {row.note} | {what} | {sentence} |")


if __name__ == "__main__":
    main()
