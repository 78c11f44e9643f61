"""What Discord makes of a text: a small model of its markdown, in which a test looks for what members' words did."""

from __future__ import annotations

import re
from collections.abc import Iterator

MENTIONS = (
    r"@everyone",
    r"@here",
    r"<@!?\d+>",
    r"<@&\d+>",
    r"<#\d+>",
    r"</[^:>\n]+:\d+>",
    r"<a?:\w+:\d+>",
    r"<t:-?\d+(?::\w)?>",
    r"<id:\w+>",
)
LINKS = (
    r"(?i)https?://\S",
    r"(?i)discord\.gg/\w",
    r"(?i)\[[^\]\n]*\]\(\s*<?https?://[^)\n]+\)",
    r"(?i)<(?:mailto|tel|sms):",
)
LINES = (r"(?m)^\s{0,3}#{1,3}\s+\S", r"(?m)^\s*-#\s+\S", r"(?m)^\s*>(?:>>)?\s+\S", r"(?m)^\s*(?:[-*+]|\d+\.)\s+\S")
STYLES = (r"\*\S", r"__\S", r"(?<!\w)_\S[^_\n]*_(?!\w)", r"~~\S", r"\|\|\S")
_KINDS = {"mention": MENTIONS, "link": LINKS, "line": LINES, "style": STYLES}
_ESCAPED = "\ue000"  # stands for a character that a backslash has made plain
_CODE = re.compile(r"(?<!\\)(?P<ticks>`+)(?P<inside>.+?)(?<!`)(?P=ticks)(?!`)", re.DOTALL)


def powers(text: str) -> Iterator[str]:
    """What in the text is more than text: "mention: @everyone". Nothing means anything inside code."""
    plain = re.sub(r"\\([^A-Za-z0-9\s])", _ESCAPED, _CODE.sub("\ue001", text))
    for kind, patterns in _KINDS.items():
        for pattern in patterns:
            yield from (f"{kind}: {match[0]}" for match in re.finditer(pattern, plain))
    if "```" in plain:
        yield "code: a block that does not end"
