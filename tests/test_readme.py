"""What the README says is true: its examples run, its commands exist, its modules are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    (folder / "engine").symlink_to(ROOT / "engine")
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_every_python_example_runs_as_it_stands(number: int, tmp_path: Path) -> None:
    """Copied out of the README and run in an empty folder."""
    done = run([sys.executable, "-c", PYTHON[number]], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("python -m engine")])
def test_every_engine_command_of_the_readme_runs(line: str, tmp_path: Path) -> None:
    """With the arguments as they stand there."""
    words = re.findall(r'"[^"]*"|\S+', line)
    done = run([sys.executable, *(word.strip('"') for word in words[1:])], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_there_are_examples_to_run() -> None:
    """A README without examples would pass the tests above."""
    assert len(PYTHON) == 3
    assert sum(line.startswith("python -m engine") for line in SHELL) == 3


def test_every_module_of_the_table_is_there_and_none_is_forgotten() -> None:
    """One line a module: each file of engine and bot is named, itself or by its folder."""
    table = README.split("## One line a module")[1]
    named: set[str] = set()
    for cell in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE):
        folder = ""
        for name in re.findall(r"`([^`]+)`", cell):
            path = name if "/" in name or not folder else f"{folder}/{name}"
            if not ((ROOT / path).exists() or (ROOT / f"{path}.py").exists()):
                path = name  # the second name of a line may stand at the top level
            assert (ROOT / path).exists() or (ROOT / f"{path}.py").exists(), f"{name} is in the README and nowhere else"
            folder = path.rpartition("/")[0] or folder
            named.add(path.removesuffix(".py"))
    files = [
        path.relative_to(ROOT).with_suffix("").as_posix()
        for part in ("engine", "bot")
        for path in (ROOT / part).rglob("*.py")
    ]
    forgotten = [
        f
        for f in files
        if not f.endswith(("/__init__", "/__main__")) and not any(f == n or f.startswith(n + "/") for n in named)
    ]
    assert forgotten == []


def test_the_pictures_of_the_readme_are_there() -> None:
    """No broken image on the first page."""
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
