"""The command line: what starts, what is said when it cannot, and with which status it ends."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import bot.__main__ as command_line
from bot import doctor, sandbox
from bot.__main__ import main
from bot.client import EngineBroken
from bot.config import BotConfig, Data, Discord, Drop
from bot.store.lock import locked

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line, "set_up", lambda *how: None)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was started, by name."""
    names: list[str] = []

    async def run_sandbox(config: BotConfig) -> None:
        names.append("sandbox")

    async def run(config: BotConfig) -> int:
        names.append("discord")
        return 0

    monkeypatch.setattr(sandbox, "run_sandbox", run_sandbox)
    monkeypatch.setattr(command_line, "_run", run)
    return names


def test_without_a_token_the_sandbox_starts(started: list[str]) -> None:
    assert main([]) == 0
    assert started == ["sandbox"]


def test_with_a_token_it_runs_on_discord(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALOOM_TOKEN", "a token")
    assert main([]) == 0
    assert main(["sandbox"]) == 0
    assert started == ["discord", "sandbox"]


def test_run_without_a_token_says_where_it_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 78
    assert "[discord] token" in capsys.readouterr().err


def test_a_wrong_configuration_is_said_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text("[discord]\ntokne = ''\n", encoding="utf-8")
    assert main(["--config", "mine.toml"]) == 78
    said = capsys.readouterr().err
    assert "mine.toml, [discord] tokne" in said
    assert "Traceback" not in said


def test_db_makes_the_database_and_may_be_called_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db"]) == 0
    assert main(["db"]) == 0
    assert (tmp_path / "data" / "loraloom.db").is_file()


def test_a_backup_and_its_restore_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Together they change nothing; a FILE that is missing, or one too many, is refused before anything happens."""
    assert main(["db"]) == 0
    assert main(["backup", "all.tar"]) == 0
    assert main(["restore", "all.tar"]) == 0
    assert "data.before-" in capsys.readouterr().out
    with locked(tmp_path / "data"):
        assert main(["restore", "all.tar"]) == 78
    assert "Stop that one first" in capsys.readouterr().err
    assert main(["db"]) == 0
    assert main(["backup", "all.tar"]) == 78
    for wrong in (["backup"], ["restore"], ["run", "all.tar"]):
        with pytest.raises(SystemExit):
            main(wrong)


def test_a_broken_engine_is_begun_anew_a_few_times_and_then_left_to_the_supervisor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(config: BotConfig) -> int:
        raise EngineBroken("It hangs.")

    begun: list[dict[str, str]] = []
    monkeypatch.setenv("LORALOOM_TOKEN", "a token")
    monkeypatch.setattr(command_line, "_run", broken)
    monkeypatch.setattr(os, "name", "posix")
    monkeypatch.setattr(os, "execve", lambda program, arguments, environment: begun.append(environment))
    for _ in range(5):
        assert main(["run"]) == 75
        monkeypatch.setenv("LORALOOM_RESTARTS", begun[-1]["LORALOOM_RESTARTS"])
    assert len(begun) == 3
    assert "goes on where it was" in capsys.readouterr().err


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fly"])
    assert ended.value.code == 2


async def examined(folder: Path, *checks: str) -> dict[str, str]:
    """What the named checks say."""
    config = BotConfig(data=Data(folder=folder))
    said = {}
    for name in checks:
        try:
            said[name] = await doctor.CHECKS[name](config)
        except doctor.Unwell as error:
            said[name] = f"FAIL {error}"
    return said


async def test_the_doctor_finds_a_new_folder_well(tmp_path: Path) -> None:
    said = await examined(tmp_path / "data", "token", "data folder", "database", "disk space", "built-in model")
    assert not [words for words in said.values() if words.startswith("FAIL")]
    assert "sandbox" in said["token"]
    assert "first start" in said["database"]


async def test_the_doctor_tells_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder", encoding="utf-8")
    said = await examined(tmp_path / "data", "data folder")
    assert "[data] folder" in said["data folder"]
    assert said["data folder"].startswith("FAIL")


async def test_the_doctor_tells_a_whole_database_from_a_newer_and_a_broken_one(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert await command_line._database(BotConfig(data=Data(folder=folder))) == 0
    assert (await examined(folder, "database"))["database"].startswith("whole, at revision")
    with sqlite3.connect(folder / "loraloom.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "newer Loraloom" in (await examined(folder, "database"))["database"]
    (folder / "loraloom.db").write_bytes(b"no database at all" * 100)
    assert (await examined(folder, "database"))["database"].startswith("FAIL")


async def test_the_doctor_tells_a_taken_port_and_a_drop_page_that_is_not_secure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = BotConfig(data=Data(folder=tmp_path), drop=Drop(url="http://example.com", port=port))
        for name, says in (("ports", str(port)), ("drop page", "https://")):
            with pytest.raises(doctor.Unwell, match=says):
                await doctor.CHECKS[name](config)
    assert "is free" in await doctor.CHECKS["ports"](config)


@pytest.mark.parametrize(("ahead", "well"), [(0, True), (-3600, False)])
async def test_the_doctor_compares_the_clock_with_discords(tmp_path: Path, ahead: int, well: bool) -> None:
    async def gateway(request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Date": formatdate(time.time() + ahead, usegmt=True)})

    app = web.Application()
    app.router.add_get("/gateway", gateway)
    served = web.AppRunner(app, access_log=None)
    await served.setup()
    await web.TCPSite(served, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{served.addresses[0][1]}"
    config = BotConfig(data=Data(folder=tmp_path), discord=Discord(token="a token"), discord_api=address)
    try:
        if well:
            assert "its clock is ours" in await doctor.CHECKS["Discord"](config)
        else:
            with pytest.raises(doctor.Unwell, match="NTP"):
                await doctor.CHECKS["Discord"](config)
    finally:
        await served.cleanup()
    with pytest.raises(doctor.Unwell, match="online"):
        await doctor.CHECKS["Discord"](config)


async def test_the_doctor_tells_an_sqlite_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "FAIL" not in (await examined(tmp_path, "SQLite"))["SQLite"]
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    assert (await examined(tmp_path, "SQLite"))["SQLite"].startswith("FAIL")


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such permissions")
@pytest.mark.parametrize(("text", "mode", "well"), [("token", 0o644, False), ("token", 0o600, True), ("", 0o644, True)])
async def test_the_doctor_tells_a_token_that_others_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, well: bool
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[discord]\n{text} = "x"\n' if text else "", encoding="utf-8")
    file.chmod(mode)
    monkeypatch.setattr(doctor, "CHECKS", {})
    lines: list[Any] = []
    assert await doctor.examine(str(file), lines.append) is well
    assert ("chmod 600" in "".join(lines)) is not well


async def test_the_doctor_tells_an_incomplete_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.EngineConfig.source_of", lambda self, name: str(tmp_path))
    assert (await examined(tmp_path, "built-in model"))["built-in model"].startswith("FAIL")


async def test_the_doctor_ends_well_only_when_every_check_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sick(config: BotConfig) -> str:
        raise doctor.Unwell("Take rest.")

    async def well(config: BotConfig) -> str:
        return "fine"

    lines: list[Any] = []
    monkeypatch.setattr(doctor, "CHECKS", {"one": sick, "two": well})
    assert await doctor.examine(None, lines.append) is False
    assert lines[1:] == ["FAIL  one: Take rest.", "ok    two: fine"]
    monkeypatch.setattr(doctor, "CHECKS", {"two": well})
    assert await doctor.examine(None, lines.append) is True


async def test_the_doctor_goes_through_every_check_where_the_data_folder_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("LORALOOM_DATA", str(tmp_path / "file" / "data"))
    monkeypatch.setitem(doctor.CHECKS, "engine", doctor.CHECKS["token"])  # which is not loaded for this
    lines: list[str] = []
    assert await doctor.examine(None, lines.append) is False
    said = {name.strip(): state for state, _, name in (line.partition(":")[0].partition("  ") for line in lines[1:])}
    assert list(said) == list(doctor.CHECKS)
    assert (said["data folder"], said["disk space"], said["engine"]) == ("FAIL", "FAIL", "ok")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to the whole console")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_sandbox_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "sandbox"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            process.send_signal(how)
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    said = "".join(lines)
    assert "http://127.0.0.1:" in said
    assert "/imagine a red flower <lora:ink:0.5>" in said
    assert "Traceback" not in said
