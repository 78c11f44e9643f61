"""start.py sets up once, redoes what was interrupted or has changed, and says in plain words what went wrong."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
START = ROOT / "start.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("start", START)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


start = _load()


# ------------------------------------------------------------------------------------------------------- any computer


def test_an_old_python_can_read_it() -> None:
    ast.parse(START.read_text("utf-8"), feature_version=(3, 7))


def test_an_old_python_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 18, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and this is Python 3\.8"):
        runpy.run_path(str(START), run_name="__main__")


def test_the_version_is_checked_before_anything_else() -> None:
    body = ast.parse(START.read_text("utf-8")).body
    assert [type(node) for node in body[:3]] == [ast.Expr, ast.Import, ast.If]
    assert ast.unparse(body[1]) == "import sys"


def test_it_needs_the_standard_library_alone() -> None:
    names = set()
    for node in ast.walk(ast.parse(START.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    assert names <= sys.stdlib_module_names


def test_the_environment_lies_where_each_system_puts_it() -> None:
    assert start.python_in(Path("v"), windows=True) == Path("v/Scripts/python.exe")
    assert start.python_in(Path("v"), windows=False) == Path("v/bin/python")


def test_ci_does_what_a_developer_does() -> None:
    script = ROOT / ".ci" / "run"
    assert "python3 start.py test" in script.read_text("utf-8")
    assert os.name == "nt" or os.access(script, os.X_OK)


# --------------------------------------------------------------------------------------------------------- the set-up


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("a==1\n")
    return tmp_path


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a set-up did, with a stand-in for pip that writes files as pip does."""
    did: list[str] = []

    def build(venv: Path) -> None:
        did.append("build")
        python = start.python_in(venv)
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        (venv / "loraloom-setup.txt").unlink(missing_ok=True)

    def install(python: Path, root: Path, before_writing: Callable[[], None]) -> None:
        did.append("install")
        before_writing()

    monkeypatch.setattr(start, "build", build)
    monkeypatch.setattr(start, "install", install)
    return did


def test_the_second_start_has_nothing_to_do(project: Path, done: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    python = start.set_up(project)
    assert done == ["build", "install"]
    capsys.readouterr()
    assert start.set_up(project) == python
    assert done == ["build", "install"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_wish_is_installed_into_the_same_environment(project: Path, done: list[str], name: str) -> None:
    start.set_up(project)
    before = start.stamp_of(project)
    (project / name).write_text("changed\n")
    assert start.stamp_of(project)[0] == before[0]
    assert start.stamp_of(project)[1] != before[1]
    start.set_up(project)
    assert done == ["build", "install", "install"]


def test_another_python_gets_another_environment(
    project: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start.set_up(project)
    monkeypatch.setattr(start.sys, "version_info", (3, 99, 0, "final", 0))
    start.set_up(project)
    assert done == ["build", "install"] * 2


def test_an_environment_without_its_python_is_made_again(project: Path, done: list[str]) -> None:
    start.set_up(project)
    start.python_in(project / ".venv").unlink()
    start.set_up(project)
    assert done == ["build", "install"] * 2


def test_an_interrupted_install_is_begun_again(project: Path, done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(python: Path, root: Path, before_writing: Callable[[], None]) -> None:
        before_writing()
        raise KeyboardInterrupt

    start.set_up(project)
    (project / "pyproject.toml").write_text("changed\n")
    with monkeypatch.context() as patch:
        patch.setattr(start, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            start.set_up(project)
    start.set_up(project)
    assert done == ["build", "install"] * 2


def test_a_failure_before_anything_was_written_keeps_the_environment(
    project: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(python: Path, root: Path, before_writing: Callable[[], None]) -> None:
        raise start.SetUpFailed("offline")

    start.set_up(project)
    (project / "pyproject.toml").write_text("changed\n")
    with monkeypatch.context() as patch:
        patch.setattr(start, "install", offline)
        with pytest.raises(start.SetUpFailed):
            start.set_up(project)
    start.set_up(project)
    assert done == ["build", "install", "install"]


def test_the_environment_is_no_more_trusted_once_pip_begins_to_write(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    pip = "print('Collecting a'); print('Installing collected packages: a')"

    def replay(command: list[str], sentence: str, watch: Callable[[str], None], cwd: Path) -> None:
        assert command[1:4] == ["-m", "pip", "install"]
        quietly([sys.executable, "-c", pip], sentence, watch, cwd)

    quietly = start.quietly
    monkeypatch.setattr(start, "quietly", replay)
    start.install(Path(sys.executable), project, lambda: written.append("writing"))
    assert written == ["writing", "writing"]


# ----------------------------------------------------------------------------------------------------------- failures


def test_a_failed_install_shows_the_last_words_of_pip() -> None:
    code = "import sys\nfor n in range(100): print('line', n)\nprint('ERROR: the reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(start.SetUpFailed) as caught:
        start.quietly([sys.executable, "-c", code], "It did not work.")
    lines = str(caught.value).splitlines()
    assert lines[0] == "It did not work."
    assert lines[-1] == "ERROR: the reason"
    assert "line 99" in lines
    assert "line 9" not in lines


def test_a_known_failure_comes_with_its_remedy() -> None:
    code = "import sys; sys.exit('ERROR: [Errno 28] No space left on device')"
    with pytest.raises(start.SetUpFailed, match="The disk is full"):
        start.quietly([sys.executable, "-c", code], "It did not work.")


def test_a_python_without_venv_is_told_the_package(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(start.SetUpFailed, match=r"apt install python3\.\d+-venv"):
        start.build(project / ".venv")


def test_a_failure_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(root: Path) -> Path:
        raise start.SetUpFailed("Words.")

    monkeypatch.setattr(start, "set_up", fail)
    assert start.main([]) == 1
    assert capsys.readouterr().err == "\nWords.\n"


# -------------------------------------------------------------------------------------------------------- what is run


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that start.py ran; mypy fails with 7 and pytest with 1."""
    ran: list[list[str]] = []

    def call(command: list[str]) -> tuple[int, bool]:
        ran.append(command[2:])
        return {"mypy": 7, "pytest": 1}.get(command[2], 0), False

    monkeypatch.setattr(start, "set_up", lambda root: Path("python"))
    monkeypatch.setattr(start, "call", call)
    return ran


def test_the_check_runs_everything_and_names_all_that_failed(
    calls: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start.main(["test", "--fast", "-k", "seed"]) == 7
    assert calls == [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        [*start.PYTEST, "-m", "not slow", "-k", "seed"],
    ]
    out = capsys.readouterr().out
    assert '--dist loadfile -m "not slow" -k seed' in out
    assert out.endswith("\nFailed: mypy, pytest\n")


def test_the_whole_check_leaves_nothing_out(calls: list[list[str]]) -> None:
    start.main(["test"])
    assert calls[-1] == list(start.PYTEST)


def test_ctrl_c_ends_the_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(start, "set_up", lambda root: Path("python"))
    monkeypatch.setattr(start, "call", lambda command: (2, True))
    assert start.main(["test"]) == 130
    assert "Stopped" in capsys.readouterr().err


def test_other_words_go_to_the_bot(calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "WINDOWS", True)
    assert start.main(["doctor", "--quick"]) == 0
    assert calls == [["bot", "doctor", "--quick"]]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exec")
def test_the_bot_takes_the_place_of_start(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(start, "set_up", lambda root: Path("/v/bin/python"))
    monkeypatch.setattr(start.os, "chdir", seen.append)
    monkeypatch.setattr(start.os, "execv", lambda *arguments: sys.exit(seen.append(arguments)))
    with pytest.raises(SystemExit):
        start.main([])
    assert seen == [ROOT, ("/v/bin/python", ["/v/bin/python", "-m", "bot"])]


def test_the_exit_status_comes_through() -> None:
    assert start.call([sys.executable, "-c", "import sys; sys.exit(5)"]) == (5, False)


@pytest.mark.skipif(os.name == "nt", reason="a signal's number is POSIX")
def test_a_killed_command_counts_as_failed() -> None:
    assert start.call([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == (137, False)


# -------------------------------------------------------------------------------------------------------- constraints


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
    assert pins == sorted(pins, key=str.lower)
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in pins)}


def _wanted() -> list[Requirement]:
    """Every requirement that pyproject has here, with those that it brings along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    first = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["dev"]]
    todo = [Requirement(text) for text in first + project["build-system"]["requires"]]
    seen: dict[tuple[str, frozenset[str]], Requirement] = {}
    while todo:
        wish = todo.pop()
        key = (canonicalize_name(wish.name), frozenset(wish.extras))
        if key in seen:
            continue
        seen[key] = wish
        for text in metadata.distribution(wish.name).requires or []:
            part = Requirement(text)
            if part.marker is None or any(part.marker.evaluate({"extra": extra}) for extra in ("", *wish.extras)):
                todo.append(part)
    return list(seen.values())


def test_every_dependency_is_pinned_as_it_is_installed() -> None:
    pins = _pins()
    wanted = {canonicalize_name(wish.name) for wish in _wanted()}
    assert {"torch", "pytest", "ruff", "setuptools", "sqlalchemy", "multidict"} <= wanted
    installed = {name: metadata.version(name).partition("+")[0] for name in wanted}
    assert installed == {name: pins.get(name, "is not pinned") for name in wanted}


def test_the_pins_are_what_pyproject_asks_for() -> None:
    pins = _pins()
    unmet = [str(wish) for wish in _wanted() if not wish.specifier.contains(pins[canonicalize_name(wish.name)])]
    assert unmet == []


@pytest.mark.slow
def test_a_real_environment_can_be_made(tmp_path: Path) -> None:
    start.build(tmp_path / ".venv")
    python = start.python_in(tmp_path / ".venv")
    assert subprocess.run([python, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0
