"""Where adapters are found: by name, by the alias in the file, by hash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import engine.library
from engine import (
    BUILTIN_ADAPTERS,
    AdapterNotFound,
    AdapterUse,
    builtin_adapter,
    builtin_samples,
    hash_digits,
    inspect_adapter,
)
from engine.library import Library


def adapter(path: Path, *, value: float = 0.0, **metadata: str) -> Path:
    save_file({"x.lora_up.weight": torch.full((2, 2), value)}, path, metadata=metadata or None)
    return path


@pytest.fixture
def library(tmp_path: Path) -> Library:
    adapter(tmp_path / "MoXinV1.safetensors", ss_output_name="Mo Xin", value=1)
    adapter(tmp_path / "twin_a.safetensors", ss_output_name="twin", value=2)
    adapter(tmp_path / "twin_b.safetensors", **{"modelspec.title": "TWIN"}, value=3)
    adapter(tmp_path / "shade.safetensors", ss_output_name="MoXinV1", value=4)
    (tmp_path / "broken.safetensors").write_bytes(b"<html>")
    return Library((tmp_path,))


def found(library: Library, name: str) -> str:
    return library.locate(AdapterUse(name)).name


def test_a_name_goes_before_an_alias(library: Library) -> None:
    """In any case; `shade` calls itself MoXinV1 too, and does not get in the way."""
    assert found(library, "moxinv1") == found(library, "MoXinV1") == "MoXinV1.safetensors"
    assert found(library, "mo xin") == "MoXinV1.safetensors"


def test_an_alias_of_two_files_is_told_with_both(library: Library) -> None:
    with pytest.raises(AdapterNotFound, match=r"twin is the name of 2 files: .*twin_a\.safetensors, .*twin_b"):
        found(library, "twin")
    assert found(library, "twin_b") == "twin_b.safetensors"


@pytest.mark.parametrize("kind", ["sha256", "tensor_sha256"])
@pytest.mark.parametrize("length", [8, 10, 12, 64])
def test_the_beginning_of_a_hash_finds_its_file(library: Library, tmp_path: Path, kind: str, length: int) -> None:
    """AutoV2, AutoV3, the WebUI's short hash, or all of it, in any case."""
    digest = getattr(inspect_adapter(Path(engine.library.BUILTIN_FOLDER) / "ink.safetensors"), kind)[:length]
    assert found(library, digest) == found(library, digest.upper()) == "ink.safetensors"
    with pytest.raises(AdapterNotFound):
        found(library, digest[:7])


def test_a_catalog_gives_a_file_by_its_hash_and_by_nothing_else(library: Library, tmp_path: Path) -> None:
    """No name, alias, beginning of a hash, path or built-in opens one, whatever a prompt says."""
    ink = builtin_adapter("ink")
    sha256 = inspect_adapter(ink).sha256
    kept = tmp_path / "catalog" / sha256[:2] / f"{sha256}.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(ink.read_bytes())
    closed = Library((tmp_path,), tmp_path / "catalog")
    assert closed.locate(AdapterUse("anything", sha256=sha256)) == kept
    for name in ("MoXinV1", "Mo Xin", "ink", sha256, sha256[:10], str(kept), str(tmp_path / "twin_a.safetensors")):
        with pytest.raises(AdapterNotFound):
            closed.locate(AdapterUse(name))
        with pytest.raises(AdapterNotFound):
            closed.locate(AdapterUse(name, sha256="ab" * 32))


def test_two_files_of_one_content_are_one_by_their_hash(tmp_path: Path) -> None:
    for name in ("a", "b"):
        adapter(tmp_path / f"{name}.safetensors", value=5)
    digits = engine.library._hashes_of(tmp_path / "a.safetensors")[0][:10]
    assert found(Library((tmp_path,)), digits) == "a.safetensors"


def test_a_file_is_read_once_until_it_changes(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking for aliases and hashes again costs no reading."""
    read: list[str] = []
    for what in ("_aliases_of", "_hashes_of"):
        plain = getattr(engine.library, what)
        monkeypatch.setattr(engine.library, what, lambda path, plain=plain: (read.append(path.name), plain(path))[1])
    for _ in range(3):
        with pytest.raises(AdapterNotFound):
            found(library, "0123456789")
    assert sorted(read) == sorted(2 * [f"{name}.safetensors" for name in library.names()])
    adapter(tmp_path / "shade.safetensors", ss_output_name="sunlight", value=6)
    os.utime(tmp_path / "shade.safetensors", ns=(1, 1))
    read.clear()
    assert found(library, "SunLight") == "shade.safetensors"
    assert read == ["shade.safetensors"]


def test_names_that_can_be_hashes() -> None:
    assert hash_digits("0xABCDEF12") == hash_digits(" abcdef12 ") == "abcdef12"
    assert hash_digits("abcdef1") == hash_digits("abcdefgh") == hash_digits("a" * 65) == ""


def test_a_builtin_adapter_brings_two_small_pictures() -> None:
    for name in BUILTIN_ADAPTERS:
        paths = builtin_samples(name)
        assert [path.name for path in paths] == [f"{name}-1.webp", f"{name}-2.webp"]
        for path in paths:
            with Image.open(path) as image:
                assert (image.format, image.size, dict(image.getexif())) == ("WEBP", (128, 128), {})
            assert path.stat().st_size < 8192
    with pytest.raises(AdapterNotFound, match="No built-in adapter"):
        builtin_samples("../model/ink")
