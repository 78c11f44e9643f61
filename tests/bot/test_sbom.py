"""The bill of materials says what the lock says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.sbom import LOCK, bill_of_materials


def test_every_pin_and_every_hash_of_the_lock_is_in_it() -> None:
    lock = LOCK.read_text(encoding="utf-8")
    document = bill_of_materials()
    components = document["components"]
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock, re.MULTILINE)
    assert [(one["name"], one["version"]) for one in components] == [(name.lower(), pin) for name, pin in pins]
    hashes = [found["content"] for one in components for found in one["externalReferences"][0]["hashes"]]
    assert hashes == re.findall(r"sha256:([0-9a-f]{64})", lock)
    assert all(one["externalReferences"][0]["hashes"] for one in components)
    assert all(one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in components)
    assert document["dependencies"][0]["dependsOn"] == [one["bom-ref"] for one in components]


def test_a_package_for_some_systems_carries_its_condition() -> None:
    (found,) = [one for one in bill_of_materials()["components"] if one["name"] == "colorama"]
    assert found["properties"] == [{"name": "pep508:marker", "value": "sys_platform == 'win32'"}]


def test_a_line_that_is_not_understood_is_not_left_out(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("torch==2.13.0 \\\n    --hash=sha256:" + "0" * 64 + "\n-e .\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 3"):
        bill_of_materials(lock)


def test_the_command_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sbom"]) == 0
    assert json.loads(capsys.readouterr().out) == bill_of_materials()
