"""The WebUI's text: prompt, negative prompt, and one line of named values.

    a red flower, (sky:1.2)
    Negative prompt: fog
    Steps: 20, Sampler: Euler a, Lora hashes: "ink: 0123456789ab"

The rules are those of `modules/infotext_utils.py` (1.10): every line is stripped, a value with a comma, colon or line
break is a JSON string, and among the values `Prompt` and `Negative prompt` win over the text above. Read besides:
values that are bare JSON lists or objects (Civitai writes them), and lines after the values (older WebUIs wrote
comments). All of it in linear time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

NEGATIVE = "Negative prompt:"
PROMPT_KEY, NEGATIVE_KEY = "Prompt", "Negative prompt"
_LEAST = 3  # values that make a line the line of values
_LOOKED_THROUGH = 50  # lines from the end
_BARE_JSON = 20  # values of a text that may be bare JSON: each is a search of its own

# Every alternative is chosen by its first character and never gives back what it took, so matching is linear.
_QUOTED = re.compile(r'"(?:[^\\"]++|\\.)*+"(?=\s*+(?:,|$))')
_KEY_SIGN = re.compile(r"[\w \-/]")
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Infotext:
    """The three parts. `fields` are the named values as texts, in their order, unquoted."""

    prompt: str
    negative: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> Infotext:
    """The parts of any text; what is no line of values belongs to the prompts."""
    lines = text.strip().split("\n")
    at = _values_line(lines)
    values = dict(_values("\n".join(lines[at:]).replace("\n", ", ") if at is not None else ""))
    prompt, negative = read_prompts(lines[:at])
    return Infotext(values.pop(PROMPT_KEY, prompt), values.pop(NEGATIVE_KEY, negative), values)


def compose(prompt: str, negative: str, fields: Mapping[str, object]) -> str:
    """The text of which `parse`, and the WebUI, make the same prompts and values again.

    Where a prompt would not come back as it is (a line that begins with "Negative prompt:", spaces at the end of a
    line), its text stands once more among the values.
    """
    body = prompt + (f"\n{NEGATIVE} {negative}" if negative else "")
    listed = [f"{key}: {quote(str(value))}" for key, value in fields.items()]
    again = read_prompts(f"{body}\n.".strip().split("\n")[:-1])
    for key, meant, found in zip((PROMPT_KEY, NEGATIVE_KEY), (prompt, negative), again, strict=True):
        if meant != found:
            listed.append(f"{key}: {json.dumps(meant, ensure_ascii=False)}")
    return f"{body}\n{', '.join(listed)}".strip()


def read_prompts(lines: Iterable[str]) -> tuple[str, str]:
    """(prompt, negative prompt) of the lines above the values."""
    parts: tuple[list[str], list[str]] = ([], [])
    negative = False
    for line in map(str.strip, lines):
        if line.startswith(NEGATIVE):
            negative, line = True, line[len(NEGATIVE) :].strip()
        part = parts[negative]
        if part or line:
            part.append(line)
    return "\n".join(parts[0]), "\n".join(parts[1])


def quote(value: str) -> str:
    """The value, as a JSON string where it could be misread."""
    plain = value == value.strip() and value[:1] not in ('"', "[", "{") and not set(value) & set(",:\n")
    return value if plain and value else json.dumps(value, ensure_ascii=False)


def pairs(value: str) -> dict[str, str]:
    """`a: 1, b: 2` as a mapping: the form of `Lora hashes`. What is no pair is left out."""
    split = (item.split(":") for item in value.split(","))
    return {parts[0].strip(): parts[1].strip() for parts in split if len(parts) > 1}


def _values_line(lines: list[str]) -> int | None:
    """Where the values begin: the last line, if it has enough of them, or the last one before it that says Steps."""
    if _is_values(lines[-1]):
        return len(lines) - 1
    for at in range(len(lines) - 2, max(-1, len(lines) - _LOOKED_THROUGH), -1):
        if lines[at].lstrip().startswith("Steps: ") and _is_values(lines[at]):
            return at
    return None


def _is_values(line: str) -> bool:
    return len([key for key, _ in _values(line)]) >= _LEAST


def _values(line: str) -> Iterator[tuple[str, str]]:
    """Every `key: value` of the line, from left to right. What is neither is passed over to the next comma."""
    at, end, bare = 0, -1, _BARE_JSON
    while at < len(line):
        if end < at:
            comma = line.find(",", at)
            end = len(line) if comma < 0 else comma
        colon = line.find(":", at, end)
        if colon < 0:
            at = end + 1
            continue
        key = _key(line, at, colon)
        at = colon + 1
        if len(key) < 2:
            continue
        while at < len(line) and line[at].isspace():
            at += 1
        if line.startswith(("[", "{"), at) and bare:
            bare -= 1
            after = _bare_json(line, at)
        elif match := _QUOTED.match(line, at):
            after = match.end()
        else:
            after = at
        after = line.find(",", after)
        after = len(line) if after < 0 else after
        yield key, unquote(line[at:after].rstrip())
        at = after + 1


def _key(line: str, start: int, colon: int) -> str:
    """The longest name that ends at the colon."""
    first = colon
    while first > start and _KEY_SIGN.match(line[first - 1]):
        first -= 1
    while first < colon and not _WORD.match(line[first]):
        first += 1
    return line[first:colon]


def unquote(value: str) -> str:
    """What `quote` was given; a text that only looks quoted stays as it is."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            read = json.loads(value)
        except ValueError:
            return value
        return read if isinstance(read, str) else value
    return value


def _bare_json(line: str, at: int) -> int:
    """Where the JSON value that begins here ends; here, if there is none."""
    try:
        return json.JSONDecoder().raw_decode(line, at)[1]
    except (ValueError, RecursionError):
        return at
