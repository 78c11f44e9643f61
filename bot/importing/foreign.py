"""JSON from outside, read by type and cut to size: what is not of the expected type is refused with its place."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any

from .errors import SourceBroken

MAX_LINE, MAX_DESCRIPTION, MAX_SNAPSHOT = 200, 600, 200_000
MAX_HTML = 20_000
MAX_ITEMS = 200  # of any list that is read
_HIDDEN = frozenset({"script", "style"})


class Foreign:
    """One JSON object of a source. `where` is its place, for the sentence. A missing field reads as the default, as
    does null; one of another type raises SourceBroken. With `strict` off it reads as missing too: what people write by
    hand.
    """

    def __init__(self, value: object, where: str, *, strict: bool = True) -> None:
        self.where = where
        self._strict = strict
        if not isinstance(value, dict) and strict:
            raise SourceBroken(f"{where} is not as documented; it cannot be read.")
        self.value: dict[str, Any] = value if isinstance(value, dict) else {}

    def text(self, key: str, default: str = "", *, limit: int = MAX_LINE) -> str:
        value = self._get(key, str)
        return default if value is None else printable(str(value))[:limit]

    def html(self, key: str) -> str:
        """The words of a field that holds HTML."""
        value = self._get(key, str)
        return "" if value is None else _words(str(value))[:MAX_DESCRIPTION]

    def number(self, key: str) -> int | None:
        value = self.real(key)
        return None if value is None else int(value)

    def real(self, key: str) -> float | None:
        value = self._get(key, int, float)
        if value is None:
            return None
        if isinstance(value, bool) or not abs(value) < 1e15:  # NaN is not less either
            self._odd(key)
            return None
        return float(value)

    def flag(self, key: str) -> bool | None:
        value = self._get(key, bool)
        return None if value is None else bool(value)

    def part(self, key: str) -> Foreign:
        return Foreign(self._get(key, dict) or {}, f"{self.where}.{key}", strict=self._strict)

    def parts(self, key: str) -> Iterator[Foreign]:
        for index, item in enumerate((self._get(key, list) or [])[:MAX_ITEMS]):
            yield Foreign(item, f"{self.where}.{key}[{index}]", strict=self._strict)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; one text counts as a list of one, which some sources write."""
        value = self._get(key, list, str)
        items = [value] if isinstance(value, str) else value or []
        if not all(isinstance(item, str) for item in items):
            self._odd(key)
        lines = (printable(item)[:MAX_LINE] for item in items[:MAX_ITEMS] if isinstance(item, str))
        return tuple(line for line in lines if line)

    def snapshot(self) -> str:
        """The object as JSON, to keep; empty when it is too large to."""
        text = json.dumps(self.value, ensure_ascii=False)
        return text if len(text) <= MAX_SNAPSHOT else ""

    def _get(self, key: str, *kinds: type) -> Any:
        value = self.value.get(key)
        if value is not None and not isinstance(value, kinds):
            self._odd(key)
            return None
        return value

    def _odd(self, key: str) -> None:
        if self._strict:
            raise SourceBroken(f"{self.where}.{key} is not as documented; it cannot be read.")


def printable(text: str) -> str:
    """One line without signs that do not print or turn the direction of writing."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _words(text: str) -> str:
    """What HTML says without its tags, in linear time; the standard library's parser is quadratic on hostile text."""
    first, *pieces = text[:MAX_HTML].split("<")
    said, hidden = [first], False
    for piece in pieces:
        tag, closed, rest = piece.partition(">")
        name = tag.lower().split(maxsplit=1)[0] if tag.strip() else ""
        if name in _HIDDEN or name.removeprefix("/") in _HIDDEN:
            hidden = name in _HIDDEN
        if not hidden:
            said.append(f" {rest}" if closed else f"<{piece}")
    return printable(html.unescape("".join(said)))
