"""What a member types to name an adapter elsewhere, read into a value, and spelled out again.

    Civitai       https://civitai.com/models/12345, also with ?modelVersionId=67890 (.red and .green too)
                  https://civitai.com/model-versions/67890, https://civitai.com/api/download/models/67890
                  12345@67890
    AIR           urn:air:sd1:lora:civitai:12345@67890, also sd15, without urn:air:, and for huggingface
    hash          SHA-256 (64 signs), AutoV3 (12) or AutoV2 (10), in hexadecimal
    Hugging Face  https://huggingface.co/owner/repo, also /tree/, /blob/ and /resolve/
                  owner/repo, owner/repo/path.safetensors, each with @revision
    the web       https://example.com/file.safetensors

AIR is developer.civitai.com's Artificial Intelligence Resource name; its words are read in any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from .errors import SourceUnclear

ACCEPTED = (
    "I read a Civitai page, a Hugging Face repository or file, an AIR (urn:air:sd1:lora:civitai:ID@VERSION), "
    "a hash (SHA-256, AutoV2 or AutoV3), or an https address of a .safetensors file."
)
MAX_TEXT = 2000
CIVITAI_HOSTS = frozenset(f"{www}civitai.{top}" for www in ("", "www.") for top in ("com", "red", "green"))
HUGGING_FACE_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
HASHES: Mapping[int, str] = {64: "SHA256", 12: "AutoV3", 10: "AutoV2"}
ADAPTER_TYPES = frozenset({"lora", "lycoris", "locon", "dora"})

_AIR = re.compile(
    r"(?:urn:)?(?:air:)?(?!urn:|air:)(?P<ecosystem>[\w/-]+):(?P<type>[\w/-]+):(?P<source>[\w/-]+):"
    r"(?P<id>[\w/.-]+)(?:@(?P<version>[\w/.-]+?))?(?:\+(?P<file>\d+))?(?:\.(?P<format>safetensors?|pickletensor|other))?",
    re.IGNORECASE | re.ASCII,
)
_PAIR = re.compile(r"(\d{1,12})@(\d{1,12})", re.ASCII)
_HEX = re.compile(r"(?:0x)?([0-9a-f]+)", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\d{1,12}", re.ASCII)
_PART = re.compile(r"\w(?:[\w.-]{0,94}[\w-])?", re.ASCII)  # of owner/repo


@dataclass(frozen=True, slots=True)
class Civitai:
    """A model of Civitai, one version of it, or one file of a version. Without a version: the newest.

    `mature` is an address at civitai.red, which also shows what civitai.com hides.
    """

    model_id: int | None = None
    version_id: int | None = None
    file_id: int | None = None
    mature: bool = False


@dataclass(frozen=True, slots=True)
class FileHash:
    """A file by what it holds; lower-case hexadecimal."""

    digest: str

    @property
    def kind(self) -> str:
        return HASHES[len(self.digest)]


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """A file of a repository; with `path` empty or a folder, the adapter in it. `revision`: branch, tag or commit."""

    repo: str
    path: str = ""
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file at an https address. Which addresses may be asked is network's business."""

    url: str


Source = Civitai | FileHash | HuggingFace | WebFile


@dataclass(frozen=True, slots=True)
class PictureSources:
    """Adapters that a picture names: those that can be looked up by their hash, and the names of those that cannot."""

    found: Mapping[str, FileHash]
    unclear: tuple[str, ...]


def parse_source(text: str) -> Source:
    """What `text` names. Raises SourceUnclear with what is wrong and what is read."""
    text = text.strip().strip("<>").strip()  # people put <> around an address to hide its preview
    if not text:
        raise SourceUnclear(f"There is nothing to look up. {ACCEPTED}")
    if len(text) > MAX_TEXT or not text.isprintable():
        raise SourceUnclear(f"That is no name of a file. {ACCEPTED}")
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        return _address(text)
    if text.lower().startswith("hf:"):
        return _repository(text[3:])
    if pair := _PAIR.fullmatch(text):
        return Civitai(int(pair[1]), int(pair[2]))
    if (digits := _HEX.fullmatch(text)) and len(digits[1]) in HASHES:
        return FileHash(digits[1].lower())
    if ":" in text:
        return _air(text)
    if "/" in text:
        return _address(f"https://{text}") if text.split("/")[0].lower() in _HOSTS else _repository(text)
    raise SourceUnclear(f"{_shown(text)} is none of the forms I read. {ACCEPTED}")


def spell_source(source: Source) -> str:
    """The inverse: `parse_source(spell_source(source)) == source`."""
    match source:
        case FileHash(digest):
            return digest
        case WebFile(url):
            return url
        case HuggingFace(repo, path, revision):
            rest = f"/{quote(path)}" if path else ""
            return f"https://huggingface.co/{repo}/tree/{quote(revision, safe='')}{rest}"
        case Civitai(model, version, file, mature):
            host = f"https://civitai.{'red' if mature else 'com'}"
            address = f"{host}/models/{model}" if model is not None else f"{host}/model-versions/{version}"
            query = [f"modelVersionId={version}"] if model is not None and version is not None else []
            query += [f"fileId={file}"] if file is not None else []
            return f"{address}?{'&'.join(query)}" if query else address


def picture_sources(hashes: Mapping[str, str]) -> PictureSources:
    """What the hashes of a picture's infotext name, by adapter: the WebUI writes `Lora hashes: "name: 12 hex"`."""
    found, unclear = {}, []
    for name, text in hashes.items():
        digits = _HEX.fullmatch(text.strip())
        if digits and len(digits[1]) in HASHES:
            found[name] = FileHash(digits[1].lower())
        else:
            unclear.append(name)
    return PictureSources(found, tuple(unclear))


def _address(text: str) -> Source:
    try:
        url = urlsplit(text)
        host = (url.hostname or "").rstrip(".").lower()
    except ValueError:
        raise SourceUnclear(f"{_shown(text)} is no address. {ACCEPTED}") from None
    if url.scheme.lower() not in ("https", "http") or not host:
        raise SourceUnclear(f"An address here begins with https://. {ACCEPTED}")
    if url.username is not None or url.password is not None:
        raise SourceUnclear("An address with a name or password in it is not read; leave out what stands before the @.")
    if host in CIVITAI_HOSTS:
        return _civitai(url, mature=host.endswith(".red"))
    if host in HUGGING_FACE_HOSTS:
        return _hub(url)
    return WebFile(url._replace(fragment="").geturl())


def _civitai(url: SplitResult, *, mature: bool) -> Civitai:
    parts = [part for part in url.path.split("/") if part]
    query = {key.lower(): values[-1] for key, values in parse_qs(url.query).items()}
    version, file = (_number(query[key], key) if key in query else None for key in ("modelversionid", "fileid"))
    if parts[:1] == ["api"]:
        parts = [part for part in parts[1:] if part not in ("v1", "download")]
        if parts[:1] == ["models"] and "download" in url.path:  # /api/download/models/ counts versions, not models
            parts[0] = "model-versions"
    match parts:
        case ["models", model, *_]:
            return Civitai(_number(model, "model"), version, file, mature)
        case ["model-versions", wanted, *_]:
            return Civitai(None, _number(wanted, "version"), file, mature)
    raise SourceUnclear(f"This Civitai page is not one of a model; open the model and copy its address. {ACCEPTED}")


def _hub(url: SplitResult) -> HuggingFace:
    parts = [unquote(part) for part in url.path.split("/") if part]
    if parts[:1] == ["models"] or parts[:1] == ["datasets"] or parts[:1] == ["spaces"] or len(parts) < 2:
        raise SourceUnclear(f"This Hugging Face page is not one of a model repository. {ACCEPTED}")
    repo, rest = _repo("/".join(parts[:2])), parts[2:]
    match rest:
        case []:
            return HuggingFace(repo)
        case ["tree" | "blob" | "resolve" | "raw", revision, *path]:
            return HuggingFace(repo, _path("/".join(path)), revision)
    raise SourceUnclear(f"This Hugging Face page is neither a repository nor a file. {ACCEPTED}")


def _repository(text: str) -> HuggingFace:
    """owner/repo[/path][@revision]; owner/repo@revision/path is read too."""
    text, _, revision = text.strip().strip("/").partition("@")
    owner, _, rest = text.partition("/")
    name, _, path = rest.partition("/")
    if revision and not path and "/" in revision and revision.lower().endswith(".safetensors"):
        revision, _, path = revision.partition("/")
    return HuggingFace(_repo(f"{owner}/{name}"), _path(path), revision.strip() or "main")


def _repo(text: str) -> str:
    owner, _, name = text.partition("/")
    if not _PART.fullmatch(owner) or not _PART.fullmatch(name) or "--" in text or ".." in text:
        raise SourceUnclear(f"{_shown(text)} is no repository of Hugging Face, which is called owner/name. {ACCEPTED}")
    return text


def _path(path: str) -> str:
    path = path.strip("/")
    if any(part in (".", "..", "") for part in path.split("/")) and path:
        raise SourceUnclear(f"{_shown(path)} is no path inside a repository.")
    return path


def _air(text: str) -> Source:
    found = _AIR.fullmatch(text)
    if not found:
        raise SourceUnclear(f"{_shown(text)} is none of the forms I read. {ACCEPTED}")
    if found["type"].lower() not in ADAPTER_TYPES:
        raise SourceUnclear(
            f"This AIR names a {found['type'].lower()[:40]}; only LoRA, LyCORIS and DoRA are added here."
        )
    if (found["format"] or "").lower() in ("pickletensor", "other"):
        raise SourceUnclear("This AIR asks for a file that is not .safetensors; only those are added here.")
    match found["source"].lower():
        case "civitai":
            version = found["version"]
            return Civitai(
                _number(found["id"], "model"),
                None if version is None else _number(version, "version"),
                None if found["file"] is None else int(found["file"]),
            )
        case "huggingface":
            return _repository(f"{found['id']}@{found['version'] or 'main'}")
    raise SourceUnclear(
        f"I do not know the source {found['source'][:40]!r} of this AIR; civitai and huggingface are read."
    )


def _number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise SourceUnclear(f"{_shown(text)} is no number of a Civitai {what}. {ACCEPTED}")
    return int(text)


def _shown(text: str) -> str:
    return f"“{text[:80]}{'…' if len(text) > 80 else ''}”"


_HOSTS = CIVITAI_HOSTS | HUGGING_FACE_HOSTS
