"""load_config: what the file may say, and what it answers when it says something else."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from pathlib import Path

import pytest

from bot.config import BotConfig, ConfigError, Limits, load_config

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
# A real token's shape: user id, time, signature. Made up.
REAL_LOOKING = "MTIzNDU2Nzg5MDEyMzQ1Njc4OQ." + "GabcDE." + "x" * 38


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_every_key_has_its_default(tmp_path: Path) -> None:
    config = load_config(None)
    assert config.discord.token == ""
    assert config.folder == tmp_path / "data"


def test_the_example_says_exactly_the_defaults(tmp_path: Path) -> None:
    example = load_config(written(tmp_path, EXAMPLE.read_text(encoding="utf-8")))
    assert example == load_config(tmp_path / "config.toml")
    (tmp_path / "config.toml").unlink()
    assert example == load_config(None)


def test_the_example_explains_every_key() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    default = BotConfig()
    tables = [f.name for f in fields(BotConfig) if f.name != "discord_api"]
    for table in tables:
        for key in (key for key in fields(getattr(default, table)) if not key.metadata.get("inside")):
            assert f"{key.name} =" in text or f"[{table}.{key.name}]" in text, f"[{table}] {key.name} is not explained"


def test_a_config_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        load_config().discord_api = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[discrod]\n", ["discrod", "no such table"]),
        ("[discord]\ntokne = 'x'\n", ["[discord] tokne", "no such key", "token"]),
        ("[sandbox]\nport = '8765'\n", ["[sandbox] port", "a whole number"]),
        ("[sandbox]\nport = true\n", ["[sandbox] port", "a whole number"]),
        ("[sandbox]\nport = 80\n", ["[sandbox] port", "1024"]),
        ("[limits]\njobs_per_member = 0\n", ["[limits] jobs_per_member", "from 1"]),
        ("[engine]\nadapters = 'both'\n", ["[engine] adapters", "'merge'", "'peft'"]),
        ("[engine]\nadapter_folders = 'loras'\n", ["[engine] adapter_folders", "a list"]),
        ("[engine.models]\nsdxl = 5\n", ["[engine] models.sdxl", "a text"]),
        ("[engine]\nmodel = 'sdxl'\n", ["[engine] model", "'sdxl'", "[engine.models]"]),
        ("[engine.predictions]\nbuiltin = 'v'\n", ["[engine] predictions.builtin", "'v_prediction'"]),
        ("[engine.predictions]\nsdxl = 'epsilon'\n", ["[engine] predictions", "'sdxl'", "[engine.models]"]),
        ("[imports]\ncivitai_url = 'http://civitai.com'\n", ["[imports] civitai_url", "https://"]),
        ("[imports]\nhuggingface_url = 'hf-mirror.com'\n", ["[imports] huggingface_url", "no address"]),
        ("[imports]\nhosts = ['https://github.com/']\n", ["[imports] hosts", "no name of a host"]),
        ("[imports]\nmax_megabytes = 0\n", ["[imports] max_megabytes", "from 1"]),
        ("[imports]\npreviews = 99\n", ["[imports] previews", "from 0 to 10"]),
        ("[drop]\nurl = 'loras.example.com'\n", ["[drop] url", "no address"]),
        ("[drop]\nminutes = 0\n", ["[drop] minutes", "from 1"]),
        ("data = 'here'\n", ["[data]", "must be a table"]),
        ("[data\n", ["cannot be read as TOML"]),
    ],
)
def test_a_wrong_file_is_refused_by_file_table_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    for word in [str(file), *words]:
        assert word in str(caught.value)


def test_a_file_named_but_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.example\.toml"):
        load_config(tmp_path / "none.toml")


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[sandbox]\nport = 9000\n", encoding="utf-8")
    monkeypatch.setenv("LORALOOM_CONFIG", str(other))
    assert load_config().sandbox.port == 9000


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "[discord]\ntoken = 'file'\n[data]\nfolder = 'file'\n[limits]\njobs_per_member = 3\n")
    monkeypatch.setenv("LORALOOM_TOKEN", "environment")
    monkeypatch.setenv("LORALOOM_DATA", str(tmp_path / "elsewhere"))
    config = load_config(file)
    assert (config.discord.token, config.folder) == ("environment", tmp_path / "elsewhere")
    assert config.limits.jobs_per_member == 3


def test_relative_folders_start_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(
        tmp_path,
        "[data]\nfolder = 'mine'\n[engine]\nadapter_folders = ['loras']\n"
        "embedding_folders = ['words']\nwildcard_folders = ['/lists']\n",
    )
    monkeypatch.chdir("/")
    config = load_config(file)
    assert config.folder == tmp_path / "mine"
    assert config.engine.adapter_folders == (tmp_path / "loras",)
    assert config.engine.embedding_folders == (tmp_path / "words",)
    assert config.engine.wildcard_folders == (Path("/lists"),)


def test_the_token_never_appears_in_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALOOM_TOKEN", "do-not-show")
    assert "do-not-show" not in repr(load_config())


def test_tokens_of_the_sources_never_appear_in_a_repr(tmp_path: Path) -> None:
    text = "[imports]\ncivitai_token = 'do-not-show'\nhuggingface_token = 'do-not-show'\n"
    config = load_config(written(tmp_path, text))
    assert config.imports.civitai_token == config.imports.huggingface_token == "do-not-show"
    assert "do-not-show" not in repr(config)


def test_the_watch_folder_starts_beside_the_file(tmp_path: Path) -> None:
    assert load_config(None).imports.watch_folder is None
    config = load_config(written(tmp_path, "[imports]\nwatch_folder = 'incoming'\n"))
    assert config.imports.watch_folder == tmp_path / "incoming"


def test_only_stand_ins_on_this_machine_may_be_asked_without_https(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "[imports]\ncivitai_url = 'http://127.0.0.1:5000'\n"))
    assert config.imports.loopback_urls == ("http://127.0.0.1:5000",)
    assert load_config(EXAMPLE).imports.loopback_urls == ()


def test_a_loopback_stand_in_for_discord_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALOOM_DISCORD_API", "http://127.0.0.1:5000/api/v10/")
    monkeypatch.setenv("LORALOOM_TOKEN", "dummy.token.here")
    assert load_config().discord_api == "http://127.0.0.1:5000/api/v10"


@pytest.mark.parametrize(
    "api",
    [
        "http://discord.example/api/v10",
        "https://127.0.0.1/api/v10",
        "http://127.0.0.1.example.org/api/v10",
        "http://127.0.0.1@example.org/api/v10",
        "http://10.0.0.1/api/v10",
        "nonsense",
    ],
)
def test_a_stand_in_that_is_not_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    monkeypatch.setenv("LORALOOM_DISCORD_API", api)
    with pytest.raises(ConfigError, match="loopback"):
        load_config()


def test_a_token_that_looks_real_never_goes_to_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORALOOM_DISCORD_API", "http://127.0.0.1:5000/api/v10")
    monkeypatch.setenv("LORALOOM_TOKEN", REAL_LOOKING)
    with pytest.raises(ConfigError, match="looks real") as caught:
        load_config()
    assert REAL_LOOKING not in str(caught.value)


def test_an_order_may_wait_for_a_day_or_for_ever() -> None:
    """0 is no limit."""
    assert Limits().longest_wait == timedelta(hours=24)
    assert Limits(hours_in_line=0).longest_wait is None
    with pytest.raises(ValueError, match="hours_in_line"):
        Limits(hours_in_line=-1)
