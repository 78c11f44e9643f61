"""Hugging Face: huggingface_hub asks the Hub what there is, in a thread; the bytes come through our own client.

Files are taken at the commit that was looked at, so that what is shown and what is fetched are the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from .arrival import OnProgress
from .civitai import retry_after
from .download import Downloaded, download
from .errors import (
    ImportRefused,
    Interrupted,
    SourceBroken,
    SourceBusy,
    SourceLocked,
    SourceMissing,
    SourceRemoved,
    SourceUnclear,
    SourceUnusable,
    TooSlow,
)
from .families import is_foreign, stated_family
from .foreign import MAX_DESCRIPTION, Foreign, printable
from .names import ENDING, file_name
from .network import Network, Small, Token
from .source import HuggingFace, spell_source
from .values import SCAN_PASSED, AtSource, Licence, Preflight, Preview, Unchanged, Updated

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

HUB = "https://huggingface.co"
USUAL = "pytorch_lora_weights.safetensors"  # what diffusers' trainers write
PICKLES = (".bin", ".pt", ".ckpt", ".pth")
MATURE_TAG = "not-for-all-audiences"
SHOWN = 10  # files named when one must be chosen
ASKING = 10.0  # seconds without an answer; huggingface_hub's own unit


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int | None
    sha256: str  # of files in LFS; empty for others


@dataclass(frozen=True, slots=True)
class _Repository:
    """What the library was told, by type."""

    commit: str
    tags: tuple[str, ...]
    card: Foreign
    scans: Foreign
    files: tuple[_File, ...]


class Hub:
    """`hub` is the site or a mirror of it, and gets the token."""

    def __init__(self, network: Network, *, hub: str = HUB, token: str = "") -> None:
        self._network = network
        self._hub = hub.rstrip("/")
        self._secret = token
        self._token = Token.of(self._hub, token)

    async def preflight(self, source: HuggingFace) -> Preflight:
        """What the Hub says about the file. Raises ImportRefused."""
        repository = await self._repository(source)
        file = _choose(source, repository.files)
        readme = await self._readme(source.repo, repository.commit)
        return _described(self._hub, source, repository, file, readme)

    async def download(self, preflight: Preflight, path: Path, cap: int, on_progress: OnProgress | None) -> Downloaded:
        return await download(
            self._network,
            preflight.address,
            path,
            cap=cap,
            explain=explain,
            token=self._token,
            on_progress=on_progress,
        )

    async def check(self, source: HuggingFace, sha256: str) -> AtSource:
        """Whether the branch still has the file as it was. Raises ImportRefused."""
        repository = await self._repository(source)
        if _choose(source, repository.files).sha256 in ("", sha256):
            return Unchanged()
        return Updated(repository.commit[:12], spell_source(source))

    async def _repository(self, source: HuggingFace) -> _Repository:
        try:
            async with asyncio.timeout(3 * ASKING):
                return await asyncio.to_thread(self._ask, source)
        except TimeoutError:
            raise TooSlow("Hugging Face takes too long to answer.") from None

    def _ask(self, source: HuggingFace) -> _Repository:
        """In a thread. `token=False`: a login of this machine's user is not the bot's to use."""
        from huggingface_hub import HfApi, errors

        api = HfApi(endpoint=self._hub, token=self._secret or False)
        try:
            return _read(
                api.model_info(
                    source.repo, revision=source.revision, timeout=ASKING, files_metadata=True, securityStatus=True
                )
            )
        except errors.HfHubHTTPError as error:
            raise _explain_hub(error) from error
        except errors.HFValidationError as error:
            raise SourceUnclear(f"{source.repo} is no name of a repository on Hugging Face.") from error
        except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined]  # what its HTTP client raises
            raise Interrupted("Hugging Face cannot be reached.") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # it takes the answer as it comes
            raise SourceBroken("Hugging Face answers something that cannot be read.") from error

    async def _readme(self, repo: str, commit: str) -> str:
        """The repository's page, as it is written; empty if there is none."""
        try:
            answer = await self._network.small(f"{self._hub}/{repo}/resolve/{commit}/README.md", token=self._token)
        except ImportRefused:
            return ""
        return answer.body.decode("utf-8", "replace") if answer.status == 200 else ""


def explain(answer: Small) -> ImportRefused:
    """What an answer to a download means; the Hub names its reasons in X-Error-Code."""
    code = answer.headers.get("X-Error-Code", "")
    return _explain(answer.status, code, answer.headers.get("RateLimit", ""), retry_after(answer))


def _explain_hub(error: Exception) -> ImportRefused:
    """The library's errors, which it tells apart by the same code."""
    from huggingface_hub import errors

    assert isinstance(error, errors.HfHubHTTPError)
    status, headers = error.response.status_code, error.response.headers
    if isinstance(error, errors.DisabledRepoError):
        return SourceRemoved("This repository was disabled on Hugging Face.")
    kinds = {
        errors.GatedRepoError: "GatedRepo",
        errors.RepositoryNotFoundError: "RepoNotFound",
        errors.RevisionNotFoundError: "RevisionNotFound",
        errors.RemoteEntryNotFoundError: "EntryNotFound",
    }
    code = next((code for kind, code in kinds.items() if isinstance(error, kind)), "")
    wait = headers.get("Retry-After", "")
    return _explain(
        status, code, headers.get("RateLimit", ""), float(wait) if wait.isascii() and wait.isdigit() else 60
    )


def _explain(status: int, code: str, rate: str, wait: float) -> ImportRefused:
    if code == "GatedRepo":
        return SourceLocked(
            "This repository is gated: its maker asks for an agreement first. Whoever runs this bot can give it a "
            "Hugging Face token of an account that has agreed."
        )
    if code == "RepoNotFound":
        return SourceMissing("Hugging Face has no such repository, or it is private.")
    if code == "RevisionNotFound":
        return SourceMissing("This repository has no such branch, tag or commit.")
    if code == "EntryNotFound" or status == 404:
        return SourceMissing("This repository has no such file.")
    if status == 410:
        return SourceRemoved("This was removed from Hugging Face.")
    if status in (401, 403):
        return SourceLocked("Hugging Face does not let this bot have it.")
    if status == 429:
        stated = re.search(r"\bt=(\d{1,6})", rate)  # seconds until the window ends
        wait = float(stated[1]) if stated else wait
        return SourceBusy(f"Hugging Face asks to come back in {wait:.0f} seconds.", wait)
    return SourceBroken(f"Hugging Face answers with error {status}; try again later.")


def _read(info: ModelInfo) -> _Repository:
    """Raises TypeError for what is of another type than the library says; it does not look."""
    files = []
    for file in info.siblings or ():
        sha256 = file.lfs.sha256 if file.lfs else ""
        if not isinstance(file.rfilename, str) or not isinstance(file.size, int | None) or not isinstance(sha256, str):
            raise TypeError("siblings")
        files.append(_File(file.rfilename, file.size, sha256.lower()))
    if not isinstance(info.sha, str):
        raise TypeError("sha")
    card = info.card_data.to_dict() if info.card_data else {}  # type: ignore[no-untyped-call]
    return _Repository(
        commit=info.sha,
        tags=Foreign({"tags": info.tags}, "", strict=False).texts("tags"),
        card=Foreign(card, "The card", strict=False),
        scans=Foreign(info.security_repo_status, "The scans", strict=False),
        files=tuple(files),
    )


def _choose(source: HuggingFace, listed: tuple[_File, ...]) -> _File:
    """The file that is meant. Raises SourceMissing, SourceUnusable, and SourceUnclear when several fit."""
    files = {file.path: file for file in listed}
    if source.path in files:
        if not source.path.lower().endswith(ENDING):
            raise SourceUnusable(f"{source.path[:100]} is not a .safetensors file; only those are taken.")
        return files[source.path]
    inside = [file for name, file in files.items() if not source.path or name.startswith(f"{source.path}/")]
    if not inside:
        raise SourceMissing(f"{source.repo} has no file or folder {source.path[:100]}.")
    found = [file for file in inside if file.path.lower().endswith(ENDING)]
    usual = [file for file in found if file.path.rpartition("/")[2] == USUAL]
    if not found and any(file.path.lower().endswith(PICKLES) for file in inside):
        raise SourceUnusable("Only pickles are there, which can hold programs; only .safetensors is taken.")
    if not found:
        raise SourceMissing(f"{source.repo} holds no .safetensors file.")
    if len(found) > 1 and len(usual) != 1:
        names = ", ".join(sorted(file.path[:100] for file in found)[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise SourceUnclear(f"There are {len(found)} files: {names}{more}. Name one: {source.repo}/FILE.")
    return usual[0] if len(found) > 1 else found[0]


def _described(hub: str, source: HuggingFace, repository: _Repository, file: _File, readme: str) -> Preflight:
    card, tags, commit, path = repository.card, repository.tags, repository.commit, file.path
    base = _base(card, tags)
    if is_foreign(base):
        raise SourceUnusable(f"This is made for {base}; this bot draws with Stable Diffusion 1.5 and XL.")
    scans, warnings = _scan(repository.scans, path)
    if not file.sha256:
        warnings = (*warnings, "Hugging Face states no hash of this file, so it cannot be compared.")
    return Preflight(
        source=HuggingFace(source.repo, path, source.revision),
        origin="Hugging Face",
        title=source.repo.partition("/")[2],
        page=f"{HUB}/{source.repo}/blob/{quote(source.revision, safe='')}/{quote(path)}",
        address=f"{hub}/{source.repo}/resolve/{commit}/{quote(path)}",
        file_name=file_name(path),
        size=file.size,
        version=commit[:12],
        creator=source.repo.partition("/")[0],
        base=base,
        family=stated_family(base),
        hashes={"SHA256": file.sha256} if file.sha256 else {},
        scans=scans,
        licence=Licence(", ".join(card.texts("license"))),
        triggers=card.texts("instance_prompt"),
        tags=tags[:50],
        description=_prose(readme),
        previews=tuple(_previews(hub, source.repo, commit, card, mature=MATURE_TAG in tags)),
        mature=MATURE_TAG in tags,
        mark=commit,
        warnings=warnings,
        snapshot=Foreign({"card": card.value, "tags": list(tags), "commit": commit, "readme": readme}, "").snapshot(),
    )


def _base(card: Foreign, tags: Iterable[str]) -> str:
    stated = card.texts("base_model")
    tagged = [tag.rpartition(":")[2] for tag in tags if tag.startswith("base_model:")]
    return (*stated, *tagged, "")[0]


def _scan(status: Foreign, path: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the Hub's scanners say of the file, and what to tell. Raises SourceUnusable when they found something."""
    issue = next((issue for issue in status.parts("filesWithIssues") if issue.text("path", limit=1000) == path), None)
    level = SCAN_PASSED if status.flag("scansDone") else "Pending"
    if issue is not None:
        level = issue.text("level", "unknown")
    if level == "unsafe":
        raise SourceUnusable("Hugging Face's scan found something dangerous in this file.")
    warnings = () if level == SCAN_PASSED else (f"Hugging Face's scan has not passed it: {level}.",)
    return {"Hub": level}, warnings


def _previews(hub: str, repo: str, commit: str, card: Foreign, *, mature: bool) -> Iterable[Preview]:
    """The pictures of the card's widget, which lie in the repository."""
    for sample in card.parts("widget"):
        path = sample.part("output").text("url", limit=500)
        if path and "://" not in path and ".." not in path:
            yield Preview(f"{hub}/{repo}/resolve/{commit}/{quote(path.lstrip('./'))}", mature)


def _prose(readme: str) -> str:
    """The beginning of a card without its YAML head, HTML, pictures and signs of Markdown."""
    text = re.sub(r"\A---\n.*?\n---\n", "", readme[:50_000], flags=re.DOTALL)
    text = Foreign({"text": text}, "The card").html("text") if text else ""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return printable(re.sub(r"[#*`_|]+", "", text))[:MAX_DESCRIPTION]
