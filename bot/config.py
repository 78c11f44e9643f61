"""The configuration: one TOML file and four environment variables, read once and never changed.

Every table of the file is a frozen dataclass; what its fields allow is what the file may say.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from engine import MAX_CELLS, EngineConfig

from .orders.screen import Words
from .orders.values import Allotment, Bounds

REAL_TOKEN = re.compile(r"[A-Za-z0-9_-]{23,30}\.[A-Za-z0-9_-]{6,8}\.[A-Za-z0-9_-]{27,50}")

T = TypeVar("T")


class ConfigError(Exception):
    """The configuration cannot be used; the sentence names file, table and key, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discord:
    """[discord]. Without a token the bot runs in the sandbox.

    `owners` are IDs of people who govern the whole bot, beside those whom Discord names as its owners.
    """

    token: str = field(default="", repr=False)
    owners: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """[data]. Everything the bot remembers lies in one folder; a relative one starts beside the configuration file."""

    folder: Path = Path("data")
    keep_pictures_days: int = 90  # 0: for ever

    def __post_init__(self) -> None:
        _within("keep_pictures_days", self.keep_pictures_days, 0, 36500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """[limits]. How much may wait or run at once, how much a member may order at once and in a day, and send along.

    `seconds_per_day` counts seconds of drawing, 0 is without limit; what is not drawn after `hours_in_line` is given
    up, 0 is never; `roles` gives other numbers to roles, by their ID.
    """

    jobs_per_member: int = 10
    jobs_per_server: int = 200
    jobs_in_all: int = 1000
    seconds_per_day: int = 0
    hours_in_line: int = 24
    image_megabytes: int = 10
    grid_cells: int = 36
    roles: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _within("jobs_per_member", self.jobs_per_member, 1, 1000)
        _within("jobs_per_server", self.jobs_per_server, 1, 100_000)
        _within("jobs_in_all", self.jobs_in_all, 1, 100_000)
        _within("seconds_per_day", self.seconds_per_day, 0, 86400)
        _within("hours_in_line", self.hours_in_line, 0, 8760)
        _within("image_megabytes", self.image_megabytes, 1, 100)
        _within("grid_cells", self.grid_cells, 2, MAX_CELLS)
        for role, seconds in self.roles.items():
            if not role.isdecimal():
                raise ValueError(f"roles: {role!r} is no role ID; Discord shows it under Copy Role ID.")
            _within(f"roles.{role}", seconds, 0, 86400)

    @property
    def longest_wait(self) -> timedelta | None:
        return timedelta(hours=self.hours_in_line) or None

    @property
    def bounds(self) -> Bounds:
        roles = {int(role): float(seconds) or None for role, seconds in self.roles.items()}
        day = float(self.seconds_per_day) or None
        return Bounds(self.jobs_per_member, self.jobs_per_server, self.jobs_in_all, day, roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """[content]. Words and phrases beside those that are always there: `blocked_words` are drawn nowhere,
    `mature_words` in age-restricted channels only. Whole words, whatever their case; never parts of others.
    """

    blocked_words: tuple[str, ...] = ()
    mature_words: tuple[str, ...] = ()

    @property
    def words(self) -> Words:
        return Words(self.blocked_words, self.mature_words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """[health]. /live, /ready and /metrics on 127.0.0.1, for whoever watches over the bot; port 0 opens none."""

    port: int = 0

    def __post_init__(self) -> None:
        if self.port:
            _within("port", self.port, 1024, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """[log]. "text" for people, "json" for machines: one object a line."""

    format: Literal["text", "json"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """[imports]. Where adapters may come from, and how many. A loopback http:// URL is a stand-in for the site, for
    tests. Owners of the bot may add more than `entries_per_member` and `megabytes_per_member`.
    """

    civitai_token: str = field(default="", repr=False)
    huggingface_token: str = field(default="", repr=False)
    civitai_url: str = "https://civitai.com"
    huggingface_url: str = "https://huggingface.co"
    hosts: tuple[str, ...] = ()  # empty: every public host
    max_megabytes: int = 512
    entries_per_member: int = 200
    megabytes_per_member: int = 20_000
    previews: int = 4
    watch_folder: Path | None = None

    def __post_init__(self) -> None:
        _within("max_megabytes", self.max_megabytes, 1, 65536)
        _within("entries_per_member", self.entries_per_member, 0, 100_000)
        _within("megabytes_per_member", self.megabytes_per_member, 0, 10_000_000)
        _within("previews", self.previews, 0, 10)
        for key in ("civitai_url", "huggingface_url"):
            url = _base_url(key, getattr(self, key))
            if url.startswith("http:") and not _is_loopback(url):
                raise ValueError(f"{key}: {url!r} is not secure; write https://.")
        for host in self.hosts:
            if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host):
                raise ValueError(f'hosts: {host!r} is no name of a host; write it like "github.com".')

    @property
    def allotment(self) -> Allotment:
        return Allotment(self.entries_per_member, self.megabytes_per_member * 1_000_000)

    @property
    def loopback_urls(self) -> tuple[str, ...]:
        """The sites that are stand-ins on this machine."""
        return tuple(url for url in (self.civitai_url, self.huggingface_url) if _is_loopback(url))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """[drop]. The page for files too large for Discord; without a public `url` there is none."""

    url: str = ""
    host: str = "127.0.0.1"
    port: int = 8780
    minutes: int = 30

    def __post_init__(self) -> None:
        if self.url:
            _base_url("url", self.url)
        _within("port", self.port, 0, 65535)
        _within("minutes", self.minutes, 1, 1440)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """[sandbox]. The page served on 127.0.0.1 when there is no token; a port in use is passed over for the next."""

    port: int = 8765

    def __post_init__(self) -> None:
        _within("port", self.port, 1024, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class BotConfig:
    """The whole configuration. `discord_api` is set only by tests, through the environment."""

    discord: Discord = field(default_factory=Discord)
    data: Data = field(default_factory=Data)
    limits: Limits = field(default_factory=Limits)
    content: Content = field(default_factory=Content)
    imports: Imports = field(default_factory=Imports)
    drop: Drop = field(default_factory=Drop)
    sandbox: Sandbox = field(default_factory=Sandbox)
    health: Health = field(default_factory=Health)
    log: Log = field(default_factory=Log)
    engine: EngineConfig = field(default_factory=EngineConfig)
    discord_api: str = ""

    @property
    def folder(self) -> Path:
        return self.data.folder

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody may read anywhere."""
        return tuple(filter(None, (self.discord.token, self.imports.civitai_token, self.imports.huggingface_token)))


def load_config(path: Path | str | None = None) -> BotConfig:
    """The configuration from `path`, else LORALOOM_CONFIG, else ./config.toml; then what the environment changes."""
    file = configuration_file(path)
    named = path or os.environ.get("LORALOOM_CONFIG")
    config = _parse(file) if named or file.exists() else BotConfig()
    if folder := os.environ.get("LORALOOM_DATA"):
        config = replace(config, data=replace(config.data, folder=Path(folder)))
    if token := _token():
        config = replace(config, discord=replace(config.discord, token=token.strip()))
    if api := os.environ.get("LORALOOM_DISCORD_API"):
        config = replace(config, discord_api=_loopback(api, config.discord.token))
    config = _settle_paths(config, file.parent)
    if config.engine.source_of("") is None:
        raise ConfigError(
            f"{file}, [engine] model: no model is called {config.engine.model!r}; add it to [engine.models]."
        )
    return config


def configuration_file(path: Path | str | None = None) -> Path:
    """Where the configuration is, if there is one: `path`, else LORALOOM_CONFIG, else ./config.toml."""
    return Path(path or os.environ.get("LORALOOM_CONFIG") or "config.toml").expanduser().absolute()


def _token() -> str:
    """From the environment, or from the file it names, as systemd's credentials and containers' secrets have it."""
    name = os.environ.get("LORALOOM_TOKEN_FILE")
    if not name:
        return os.environ.get("LORALOOM_TOKEN", "")
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"environment, LORALOOM_TOKEN_FILE: {name} cannot be read ({error.strerror}).") from error


def _parse(file: Path) -> BotConfig:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file} is not there; copy config.example.toml to that place, or leave it away.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as TOML: {error}") from error
    tables = {f.name: get_type_hints(BotConfig)[f.name] for f in fields(BotConfig) if f.name != "discord_api"}
    unknown = sorted(document.keys() - tables.keys())
    if unknown:
        known = ", ".join(f"[{name}]" for name in tables)
        raise ConfigError(f"{file}, {unknown[0]}: there is no such table; remove it. The tables are {known}.")
    return BotConfig(**{name: _table(tables[name], document[name], f"{file}, [{name}]") for name in document})


def _table(kind: type[T], value: object, where: str) -> T:
    """The dataclass `kind` filled from one table of the file."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: this must be a table, not {value!r}.")
    types_of = get_type_hints(kind)
    hints = {f.name: types_of[f.name] for f in fields(kind) if not f.metadata.get("inside")}  # type: ignore[arg-type]
    unknown = sorted(value.keys() - hints.keys())
    if unknown:
        raise ConfigError(f"{where} {unknown[0]}: there is no such key; remove it. The keys are {', '.join(hints)}.")
    try:
        return kind(**{key: _convert(hints[key], item, f"{where} {key}") for key, item in value.items()})
    except ValueError as error:
        raise ConfigError(f"{where} {error}") from error


def _convert(hint: Any, value: object, where: str) -> Any:
    """`value` as the type `hint`, or a ConfigError that says which type belongs there."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert(next(arg for arg in args if arg is not type(None)), value, where)
    if origin is Literal:
        if value in args:
            return value
        raise ConfigError(f"{where}: {value!r} is not one of {', '.join(map(repr, args))}; choose one of them.")
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(args[0], item, where) for item in value)
    if origin is Mapping and isinstance(value, dict):
        return types.MappingProxyType({key: _convert(args[1], item, f"{where}.{key}") for key, item in value.items()})
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ConfigError(f"{where}: {value!r} is of the wrong type; write {_spelled(hint, origin)}.")


def _spelled(hint: Any, origin: Any) -> str:
    words = {
        str: "a text in quotes",
        Path: "a path in quotes",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
    }
    return {tuple: "a list of texts", Mapping: "a table of texts"}.get(origin) or words[hint]


def _settle_paths(config: BotConfig, home: Path) -> BotConfig:
    """The same configuration with absolute folders; relative ones start beside the configuration file."""
    data = replace(config.data, folder=(home / config.data.folder.expanduser()).resolve())

    def settled(folders: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple((home / folder.expanduser()).resolve() for folder in folders)

    engine = replace(
        config.engine,
        adapter_folders=settled(config.engine.adapter_folders),
        embedding_folders=settled(config.engine.embedding_folders),
        wildcard_folders=settled(config.engine.wildcard_folders),
    )
    watched = config.imports.watch_folder
    imports = replace(config.imports, watch_folder=watched and (home / watched.expanduser()).resolve())
    return replace(config, data=data, imports=imports, engine=engine)


def _loopback(api: str, token: str) -> str:
    """`api`, if it can only be this machine: a real token never goes to a stand-in for Discord."""
    name = "environment, LORALOOM_DISCORD_API"
    if urlsplit(api).scheme != "http" or not _is_loopback(api):
        raise ConfigError(f"{name}: {api!r} is not a loopback address; it must begin with http://127.0.0.1:PORT.")
    if REAL_TOKEN.fullmatch(token):
        raise ConfigError(f"{name}: the token looks real; use a made-up one, or unset LORALOOM_DISCORD_API.")
    return api.rstrip("/")


def _is_loopback(address: str) -> bool:
    """Whether the host of a URL is this machine, written as a number."""
    try:
        return ipaddress.ip_address(urlsplit(address).hostname or "").is_loopback
    except ValueError:
        return False


def _base_url(key: str, value: str) -> str:
    """`value`, if it is an address that paths can be put behind."""
    url = urlsplit(value)
    if url.scheme not in ("https", "http") or not url.hostname or url.query or url.fragment or "@" in url.netloc:
        raise ValueError(f'{key}: {value!r} is no address; write it like "https://example.com".')
    return value


def _within(key: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{key}: {value} is out of bounds; write a number from {least} to {most}.")
