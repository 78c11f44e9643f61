"""The documented rules for command definitions, most of which the OpenAPI description does not hold."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import Any

from .world import Fault, FieldErrors, Json

LIMITS = {1: 100, 2: 15, 3: 15}  # slash, user and message commands of one scope
_LOCALES = (
    "id da de en-GB en-US es-ES es-419 fr hr it lt hu nl no pl pt-BR ro fi sv-SE vi tr cs el bg ru uk hi th zh-CN ja "
    "zh-TW ko ar he"
)
LOCALES = frozenset(_LOCALES.split())
SUBCOMMAND, GROUP = 1, 2
WITH_CHOICES = (3, 4, 10)  # string, integer, number
Path = tuple[Any, ...]


def check(commands: list[Json]) -> None:
    """Raises Discord's 50035 with every field that breaks a rule."""
    for kind, most in LIMITS.items():
        if sum(command.get("type", 1) == kind for command in commands) > most:
            raise Fault(400, 30032, f"Maximum number of application commands reached ({most}).")
    errors = FieldErrors()
    _unique(commands, (), errors, lambda command: (command.get("type", 1), command["name"]))
    for index, command in enumerate(commands):
        if command.get("type", 1) != 1:
            if command.get("description") or command.get("options"):
                errors.add((index,), "INVALID", "Context menu commands have no description and no options")
            continue
        _named(command, (index,), errors)
        _options(command.get("options") or [], (index,), errors, depth=0)
        if (size := _characters(command)) > 8000:
            errors.add((index,), "APPLICATION_COMMAND_TOO_LARGE", f"Command exceeds maximum size (8000): {size}")
    errors.raise_any()


def _named(thing: Json, path: Path, errors: FieldErrors) -> None:
    names: list[tuple[Path, str]] = [(("name",), thing["name"])]
    names += [
        (("name_localizations", locale), name) for locale, name in (thing.get("name_localizations") or {}).items()
    ]
    for where, name in names:
        if not well_named(name):
            errors.add((*path, *where), "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
    if not 1 <= len(thing.get("description") or "") <= 100:
        errors.add((*path, "description"), "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
    for key in ("name_localizations", "description_localizations"):
        for locale in thing.get(key) or {}:
            if locale not in LOCALES:
                errors.add((*path, key, locale), "ENUM_TYPE_COERCE", f"{locale} is not a locale of Discord's")


def _options(options: list[Json], path: Path, errors: FieldErrors, depth: int) -> None:
    _unique(options, (*path, "options"), errors, lambda option: option["name"])
    nested = [option["type"] in (SUBCOMMAND, GROUP) for option in options]
    if any(nested) and not all(nested):
        errors.add((*path, "options"), "INVALID", "Sub-commands and options do not mix")
    optional = False
    for index, option in enumerate(options):
        where = (*path, "options", index)
        _named(option, where, errors)
        if option.get("required") and optional:
            code = "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID"
            errors.add(where, code, "Required options must be placed before non-required options")
        optional = optional or not option.get("required")
        if (option["type"] == GROUP and depth > 0) or (option["type"] == SUBCOMMAND and depth > 1):
            errors.add((*where, "type"), "INVALID", "Sub-command nested too deep")
        if option["type"] in (SUBCOMMAND, GROUP):
            _options(option.get("options") or [], where, errors, depth + 1)
        _choices(option, where, errors)


def _choices(option: Json, path: Path, errors: FieldErrors) -> None:
    choices = option.get("choices") or []
    if choices and option.get("autocomplete"):
        errors.add((*path, "autocomplete"), "INVALID", "Autocomplete and choices exclude each other")
    if (choices or option.get("autocomplete")) and option["type"] not in WITH_CHOICES:
        errors.add((*path, "choices"), "INVALID", "Only string, integer and number options have choices")
    _unique(choices, (*path, "choices"), errors, lambda choice: choice["name"])
    low, high = ("min_length", "max_length") if option["type"] == 3 else ("min_value", "max_value")
    if option.get(low) is not None and option.get(high) is not None and option[low] > option[high]:
        errors.add((*path, low), "INVALID", f"{low} is above {high}")


def _unique(things: list[Json], path: Path, errors: FieldErrors, key: Any) -> None:
    counts = Counter(key(thing) for thing in things)
    for index, thing in enumerate(things):
        if counts[key(thing)] > 1:
            errors.add((*path, index, "name"), "APPLICATION_COMMANDS_DUPLICATE_NAME", "Names must be unique")


def well_named(name: str) -> bool:
    r"""Discord's `^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$`, in lower case where there is such a thing."""
    return 1 <= len(name) <= 32 and name == name.lower() and all(map(_allowed, name))


def _allowed(sign: str) -> bool:
    block = unicodedata.name(sign, "").split(" ")[0]
    return sign in "-_'" or unicodedata.category(sign)[0] in "LN" or block in ("DEVANAGARI", "THAI")


def _characters(thing: Json) -> int:
    """Names, descriptions and choice values, each counted in its longest localization."""
    total = 0
    for key in ("name", "description"):
        texts = [thing.get(key) or "", *(thing.get(f"{key}_localizations") or {}).values()]
        total += max(map(len, texts))
    total += len(thing["value"]) if isinstance(thing.get("value"), str) else 0
    return total + sum(map(_characters, [*(thing.get("options") or []), *(thing.get("choices") or [])]))


def stored(command: Json, identity: int, application: int, guild: int | None) -> Json:
    """The command as Discord gives it back: whole, without nulls."""
    value = {
        **_without_nulls(command),
        "id": str(identity),
        "application_id": str(application),
        "version": str(identity),
        "type": command.get("type", 1),
        "description": command.get("description") or "",
        "nsfw": bool(command.get("nsfw")),
    }
    permissions = command.get("default_member_permissions")
    value["default_member_permissions"] = None if permissions is None else str(permissions)
    value.setdefault("integration_types", [0])
    if guild is None:
        value.setdefault("contexts", [0, 1, 2])
    else:
        value["guild_id"] = str(guild)
    return value


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
