"""Civitai: its pages, versions and hashes, asked politely: one question at a time, answers kept, waits obeyed.

Fields and errors as in developer.civitai.com and the site's source of August 2026.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .arrival import OnProgress
from .download import Downloaded, download
from .errors import (
    ImportRefused,
    SourceBroken,
    SourceBusy,
    SourceLocked,
    SourceMissing,
    SourceRemoved,
    SourceUnclear,
    SourceUnusable,
    TooLarge,
)
from .families import is_foreign, stated_family
from .foreign import Foreign, printable
from .names import file_name
from .network import Network, Small, Token
from .source import HASHES, Civitai, FileHash, spell_source
from .values import SCAN_PASSED, AtSource, Licence, Preflight, Preview, Unchanged, Updated

SITE, MATURE_SITE = "https://civitai.com", "https://civitai.red"
KINDS = frozenset({"LORA", "LoCon", "DoRA"})
FILE_TYPES = ("Model", "Pruned Model", "Enhancement LoRA")  # the others are data, settings, archives
KEEP = 300  # seconds an answer is kept, also one that says no; the site's own cache is as long
KEPT = 32
WAIT = 10  # seconds that are waited through; a longer wait is told
PG13 = 3  # the bits of nsfwLevel for everybody


class CivitaiSite:
    """`site` answers /api/v1 and downloads, and gets the token; `mature_site` is asked for what `site` hides."""

    def __init__(self, network: Network, *, site: str = SITE, mature_site: str = MATURE_SITE, token: str = "") -> None:
        self._network = network
        self._site = site.rstrip("/")
        self._mature_site = mature_site.rstrip("/") if self._site == SITE or mature_site != MATURE_SITE else ""
        self._token = Token.of(self._site, token)
        self._kept: OrderedDict[str, tuple[float, Small]] = OrderedDict()
        self._one = asyncio.Lock()
        self._closed_until = 0.0

    async def preflight(self, source: Civitai | FileHash) -> Preflight:
        """What Civitai says about the file. Raises ImportRefused."""
        mature = isinstance(source, Civitai) and source.mature
        version = await self._version(source)
        model_id = version.number("modelId")
        model = version.part("model")
        if model_id is not None:
            with suppress(SourceMissing, TooLarge):  # the version is shown all the same; its page is not
                model = await self._ask(f"models/{model_id}", mature)
        _refuse_kind(model, version)
        return _described(self._site, source, version, model, _choose(source, version))

    async def download(self, preflight: Preflight, path: Path, cap: int, on_progress: OnProgress | None) -> Downloaded:
        return await download(
            self._network,
            preflight.address,
            path,
            cap=cap,
            explain=self._explain,
            token=self._token,
            on_progress=on_progress,
        )

    async def check(self, source: Civitai, sha256: str) -> AtSource:
        """Whether the version is still there with that file, and the newest of its model. Raises ImportRefused."""
        version = await self._version(source)
        model_id, version_id = version.number("modelId"), version.number("id")
        files = [file.part("hashes").text("SHA256").lower() for file in version.parts("files")]
        if any(files) and sha256 not in files:
            again = Civitai(model_id, version_id)
            return Updated(f"{version.text('name')}, another file", spell_source(again))
        if model_id is None:
            return Unchanged()
        model = await self._ask(f"models/{model_id}", source.mature)
        _refuse_kind(model, version)
        newest = next(iter(model.parts("modelVersions")), None)
        newest_id = newest.number("id") if newest is not None else None
        if newest is None or newest_id is None or newest_id == version_id:
            return Unchanged()
        return Updated(newest.text("name"), spell_source(Civitai(model_id, newest_id)))

    async def _version(self, source: Civitai | FileHash) -> Foreign:
        if isinstance(source, FileHash):
            return await self._ask(f"model-versions/by-hash/{source.digest}", False)
        if source.version_id is not None:
            version = await self._ask(f"model-versions/{source.version_id}", source.mature)
            if source.model_id is not None and version.number("modelId") not in (None, source.model_id):
                raise SourceUnclear(
                    f"Version {source.version_id} does not belong to model {source.model_id} on Civitai."
                )
            return version
        model = await self._ask(f"models/{source.model_id}", source.mature)
        _refuse_kind(model, Foreign({}, "Civitai's version"))
        newest = next(iter(model.parts("modelVersions")), None)
        version_id = newest.number("id") if newest is not None else None
        if version_id is None:
            raise SourceMissing("This model has no published version on Civitai.")
        return await self._ask(f"model-versions/{version_id}", source.mature)

    async def _ask(self, path: str, mature: bool) -> Foreign:
        """An answer of the API; asked of the other site where the first hides it."""
        sites = [site for site in (self._site, self._mature_site) if site]
        answer = None
        for site in reversed(sites) if mature else sites:
            answer = await self._answer(f"{site}/api/v1/{path}")
            if answer.status == 200:
                return Foreign(
                    await asyncio.to_thread(answer.json), f"Civitai's {path.split('/')[0].removesuffix('s')}"
                )
        assert answer is not None
        raise self._explain(answer)

    async def _answer(self, address: str) -> Small:
        async with self._one:
            clock = asyncio.get_running_loop().time
            kept = self._kept.get(address)
            if kept is not None and clock() < kept[0]:
                return kept[1]
            first = self._network.bounds.pause
            for pause in (first, 3 * first, None):
                if (wait := self._closed_until - clock()) > 0:
                    raise SourceBusy(f"Civitai asks to be left alone for {wait:.0f} more seconds.", wait)
                answer = await self._network.small(address, token=self._token)
                if answer.status == 429 and (wait := retry_after(answer)) > WAIT:
                    self._closed_until = clock() + wait
                if pause is None or (answer.status != 429 and answer.status < 500) or self._closed_until > clock():
                    break
                await asyncio.sleep(min(retry_after(answer, pause), WAIT))
            if answer.status < 500 and answer.status != 429:
                self._kept[address] = (clock() + KEEP, answer)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return answer

    def _explain(self, answer: Small) -> ImportRefused:
        """What an answer that is no 200 means; the site gives its reasons as JSON."""
        said, deadline = _reason(answer)
        because = f" It says: {said}" if said else ""
        match answer.status:
            case 401 if self._token is None:
                return SourceLocked(
                    f"Civitai gives this only to people who are logged in, or to nobody.{because} "
                    "Whoever runs this bot can give it a Civitai token."
                )
            case 401:
                return SourceLocked(f"Civitai gives this to nobody, or the bot's token is no longer good.{because}")
            case 403 if deadline:
                return SourceLocked(
                    f"This is in early access on Civitai until {deadline}; try again after that.{because}"
                )
            case 403:
                return SourceLocked(f"Civitai does not let this bot have the file.{because}")
            case 404:
                return SourceMissing("Civitai has nothing there, or shows it to nobody.")
            case 410:
                return SourceRemoved(f"This was archived or taken down on Civitai.{because}")
            case 429:
                wait = retry_after(answer)
                return SourceBusy(f"Civitai asks to come back in {wait:.0f} seconds.{because}", wait)
            case status if status >= 500:
                return SourceBroken(f"Civitai has trouble of its own (error {status}); try again later.")
        return SourceBroken(f"Civitai answers with error {answer.status}.{because}")


def retry_after(answer: Small, default: float = 60.0) -> float:
    """Seconds; the header as RFC 9110 §10.2.3 has it, without the form as a date, which neither source uses."""
    text = answer.headers.get("Retry-After", "").strip()
    return min(float(text), 24 * 3600.0) if text.isascii() and text.isdigit() else default


def _reason(answer: Small) -> tuple[str, str]:
    """What an error says, and until when early access lasts."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(value, dict):
        return "", ""
    said = next((value[key] for key in ("message", "error") if isinstance(value.get(key), str)), "")
    deadline = value.get("deadline")
    return printable(said)[:200], printable(deadline)[:40] if isinstance(deadline, str) else ""


def _refuse_kind(model: Foreign, version: Foreign) -> None:
    """Raises what stands against this model, whatever the file."""
    kind, mode = model.text("type"), model.text("mode")
    if mode == "TakenDown":
        raise SourceRemoved("This model was taken down on Civitai.")
    if mode == "Archived":
        raise SourceRemoved("This model is archived on Civitai: its page is there, its files are not.")
    if kind and kind not in KINDS:
        raise SourceUnusable(f"This is a {kind} on Civitai; only LoRA, LoCon and DoRA are added here.")
    if (control := version.text("usageControl", "Download")) != "Download":
        raise SourceLocked(f"Its maker allows no download from Civitai, only use on the site ({control}).")
    base = version.text("baseModel")
    if is_foreign(base):
        raise SourceUnusable(f"This is made for {base}; this bot draws with Stable Diffusion 1.5 and XL.")


def _choose(source: Civitai | FileHash, version: Foreign) -> Foreign:
    """The file that is meant: the one asked for, else the primary, else the first. Raises SourceUnusable."""
    files = list(version.parts("files"))
    if isinstance(source, FileHash):
        files = [file for file in files if file.part("hashes").text(source.kind).lower() == source.digest] or files
    elif source.file_id is not None:
        files = [file for file in files if file.number("id") == source.file_id]
    if not files:
        raise SourceMissing("Civitai lists no such file of this version.")
    wanted = [file for file in files if file.text("type", "Model") in FILE_TYPES]
    if not wanted:
        kinds = ", ".join(sorted({file.text("type") for file in files}))
        raise SourceUnusable(f"Civitai has only {kinds} there, no adapter.")
    safe = [file for file in wanted if _is_safetensors(file)]
    if not safe:
        raise SourceUnusable("Civitai has this only as a pickle, which can hold programs; only .safetensors is taken.")
    chosen = min(safe, key=lambda file: (not file.flag("primary"), FILE_TYPES.index(file.text("type", "Model"))))
    if "Danger" in (chosen.text("virusScanResult"), chosen.text("pickleScanResult")):
        raise SourceUnusable("Civitai's scan found something dangerous in this file.")
    return chosen


def _is_safetensors(file: Foreign) -> bool:
    stated = file.part("metadata").text("format")
    return file.text("name").lower().endswith(".safetensors") and stated in ("", "SafeTensor")


def _described(site: str, source: Civitai | FileHash, version: Foreign, model: Foreign, file: Foreign) -> Preflight:
    model_id, version_id, file_id = version.number("modelId"), version.number("id"), file.number("id")
    if version_id is None:
        raise SourceBroken("Civitai's version has no number; it cannot be read.")
    mature_site = isinstance(source, Civitai) and source.mature
    page_site = MATURE_SITE if mature_site else SITE
    size = file.real("sizeKB")
    scans = {name: file.text(f"{name}ScanResult", "Pending") for name in ("pickle", "virus")}
    base = version.text("baseModel")
    hashes = {kind: file.part("hashes").text(kind).lower() for kind in HASHES.values()}
    if isinstance(source, FileHash):
        hashes[source.kind] = source.digest  # what was asked for decides, whatever the answer says
    return Preflight(
        source=Civitai(model_id, version_id, file_id, mature_site),
        origin="Civitai",
        title=model.text("name") or version.part("model").text("name") or f"version {version_id}",
        page=f"{page_site}/models/{model_id}?modelVersionId={version_id}",
        address=f"{site}/api/download/models/{version_id}" + (f"?fileId={file_id}" if file_id is not None else ""),
        file_name=file_name(file.text("name")),
        size=None if size is None else round(size * 1024),
        version=version.text("name"),
        creator=model.part("creator").text("username"),
        kind=model.text("type"),
        base=base,
        family=stated_family(base),
        hashes={kind: digest for kind, digest in hashes.items() if digest},
        scans=scans,
        scanned_at=file.text("scannedAt"),
        licence=_licence(model),
        triggers=version.texts("trainedWords"),
        tags=model.texts("tags"),
        description=model.html("description") or version.html("description"),
        previews=tuple(_previews(version)),
        mature=bool(model.flag("nsfw")) or bool((version.number("nsfwLevel") or 0) & ~PG13),
        real_person=bool(model.flag("poi")),
        mark=str(version_id),
        warnings=tuple(_warnings(version, model, scans, hashes)),
        snapshot=Foreign({"model": model.value, "version": version.value}, "Civitai").snapshot(),
    )


def _licence(model: Foreign) -> Licence:
    stated = "allowCommercialUse" in model.value
    no_credit = model.flag("allowNoCredit")
    return Licence(
        credit_needed=None if no_credit is None else not no_credit,
        commercial=tuple(use for use in model.texts("allowCommercialUse") if use != "None") if stated else None,
        derivatives=model.flag("allowDerivatives"),
        other_licence=model.flag("allowDifferentLicense"),
    )


def _previews(version: Foreign) -> Iterable[Preview]:
    for image in version.parts("images"):
        if image.text("type", "image") == "image" and (url := image.text("url", limit=2000)):
            level = image.number("nsfwLevel") or 0
            yield Preview(url, mature=level == 0 or bool(level & ~PG13), level=level)


def _warnings(version: Foreign, model: Foreign, scans: dict[str, str], hashes: dict[str, str]) -> Iterable[str]:
    for name, result in scans.items():
        if result != SCAN_PASSED:
            yield f"Civitai's {name} scan has not passed it: {result}."
    if not hashes["SHA256"]:
        yield "Civitai states no hash of this file, so it cannot be compared."
    if version.text("availability") == "EarlyAccess" or version.text("earlyAccessEndsAt"):
        until = version.text("earlyAccessEndsAt")
        yield f"It is in early access{f' until {until}' if until else ''}; Civitai may refuse the download."
    if "creator" not in model.value:  # only what the version says of its model
        yield "Civitai does not show the page of this model, so its licence and maker are not known."
