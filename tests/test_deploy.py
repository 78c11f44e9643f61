"""What runs Loraloom as a service: no more rights than it needs, nothing that is not pinned."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from bot.config import BotConfig, load_config

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "deploy" / "loraloom.service"
CONTAINER = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def pins(text: str) -> dict[str, str]:
    return {normal(name): version for name, version in PIN.findall(text)}


def test_a_wheel_holds_every_file_that_is_no_python() -> None:
    """The model, its adapters and their pictures, the languages, the template of migrations."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["setuptools"]["package-data"]
    for package in ("bot", "engine", "migrations"):
        files = {path for path in (ROOT / package).rglob("*") if path.is_file()}
        held = {path for pattern in packed[package] for path in (ROOT / package).glob(pattern)}
        assert {path for path in files if path.suffix not in (".py", ".pyc")} <= held


def normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_pins_the_versions_that_start_py_installs() -> None:
    """Each with hashes, and each dependency of Loraloom among them."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked, constrained = pins(lock), pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    browser = set(pins("\n".join(line for line in lock.splitlines() if "emscripten" in line)))
    assert locked.keys() - constrained.keys() <= browser
    assert [name for name in locked.keys() & constrained if not locked[name].startswith(constrained[name])] == []
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    wanted = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.DOTALL | re.M)
    assert wanted is not None
    names = {normal(name) for name in re.findall(r'^\s+"([A-Za-z0-9._-]+)', wanted[1], re.MULTILINE)}
    assert names <= locked.keys()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_the_service_little_exposed() -> None:
    """At most 3.0 of 10, and nothing in the unit that systemd does not know."""
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=30", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    verified = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False)
    faults = [line for line in verified.stderr.splitlines() if "is not executable" not in line]
    assert faults == []


def test_the_service_starts_again_only_where_that_helps_and_has_time_to_end() -> None:
    """The exit statuses and the times of the drain are those of the bot."""
    unit = UNIT.read_text(encoding="utf-8")
    assert "RestartPreventExitStatus=78" in unit
    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) > 30 + 20
    assert "ExecStart=/opt/loraloom/.venv/bin/python -m bot run" in unit


def test_the_container_runs_without_root_and_from_the_lock() -> None:
    """And copies only what is there."""
    assert re.findall(r"^USER (.*)", CONTAINER, re.MULTILINE)[-1] == "10001:10001"
    assert "--require-hashes -r requirements.lock" in CONTAINER
    assert not re.search(r"^ADD ", CONTAINER, re.MULTILINE)
    for line in re.findall(r"^COPY (?!--from)(.*)", CONTAINER, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line


def test_a_token_may_come_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd's credentials and containers' secrets do; a file that is not there is refused by its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("a token\n", encoding="utf-8")
    monkeypatch.setenv("LORALOOM_TOKEN_FILE", str(tmp_path / "token"))
    assert load_config().discord.token == "a token"
    monkeypatch.setenv("LORALOOM_TOKEN_FILE", str(tmp_path / "gone"))
    with pytest.raises(Exception, match="LORALOOM_TOKEN_FILE"):
        load_config()
    monkeypatch.delenv("LORALOOM_TOKEN_FILE")
    assert load_config() == BotConfig(data=load_config().data)
