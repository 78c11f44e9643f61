"""Every text that members may read, collected from the code: what a complete translation holds.

Three kinds. What is said with `say`, `say_many` and `unsaid`, as it stands there. What Discord lists of the commands,
asked from the commands themselves. And the sentences of errors, notes and reports, which are plain f-strings: in the
layers below any that reads like one counts, with numbers for what is put in, but for what is only for owners,
developers and logs; in commands and cards those that are raised.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .sentences import ENDS

ROOT = Path(__file__).parent.parent.parent
SAYING = ("bot",)
RAISING = ("bot/cogs", "bot/views")
BELOW = ("engine", "bot/orders", "bot/jobs", "bot/store", "bot/importing")
FOR_OWNERS = (
    *("engine/__main__", "engine/builtin", "engine/adapters/bench", "engine/adapters/soak", "engine/pipeline/load"),
    *("engine/infotext/write", "engine/sheet", "bot/store/backup", "bot/store/integrity", "bot/store/lock"),
    *("bot/store/models", "bot/store/files", "bot/store/open", "bot/store/schema", "bot/importing/drop_page"),
    *("bot/store/holdings", "bot/store/legible", "bot/store/tombstones", "bot/orders/screen"),
    "engine/pipeline/safety",
)
ONLY_SENTENCES = (  # beside sentences these hold names, which only look like parts of one
    *("bot/orders/intake", "bot/store/intake"),
    *("bot/orders/governing", "bot/orders/models", "bot/orders/oversight", "bot/orders/stock", "bot/store/stock"),
    *("bot/orders/rights", "bot/importing/network", "bot/importing/values", "bot/importing/drop"),
    *("engine/adapters/claims", "engine/adapters/naming", "engine/infotext/names", "engine/infotext/grammar"),
    *(
        "engine/thread",
        "engine/adapters/formats",
        "engine/infotext/settle",
        "engine/infotext/webui",
        "engine/pipeline/samplers",
    ),
)
WORDS = (  # what sentences put in by a variable
    *("prompt", "negative prompt", "picture", "mask", "schedule", "noise source", "emphasis", "base model", "VAE"),
    *("name", "alias", "tag", "trigger word", "description", "credit", "licence"),
    *("this server", "this bot", "embeddings {0}", "model", "adapter", "version", "workflow", "prompt graph"),
)

_PROSE = re.compile(r"[A-Za-z]{2}[A-Za-z'’]*[,:;]? \(?[a-z]|[a-z]{2} \{|\} [a-z]{2}|\. [A-Z]")
_NO_PROSE = re.compile(
    r"^\S+$|[\\^$]|\b(?:SELECT|CREATE|PRAGMA|UPDATE|INSERT|DELETE|BEGIN)\b|^[a-z]+/|::|^\s*[<{]\w+[>}]\s*$"
)
_PROGRAMMING = {"ValueError", "TypeError", "AttributeError", "RuntimeError", "KeyError", "AssertionError", "OSError"}
_LOG = re.compile(r"^(?:log|logger|_log|logging|warnings)\.\w+$")


@dataclass(frozen=True, slots=True, order=True)
class Text:
    """One text to translate. `many` is its plural, "" without; `context` sets apart what is spelled the same."""

    english: str
    many: str = ""
    context: str = ""


def texts_of_code(root: Path = ROOT) -> dict[Text, list[str]]:
    """Every text that stands in the code, and the files it stands in."""
    found: dict[Text, list[str]] = {}
    for path in _files(root, SAYING):
        for text in spoken(ast.parse(path.read_text("utf-8"))):
            found.setdefault(text, []).append(path.relative_to(root).as_posix())
    for path in _files(root, BELOW):
        place = path.relative_to(root).as_posix()
        if not place.removesuffix(".py").startswith(FOR_OWNERS):
            for sentence in sentences(ast.parse(path.read_text("utf-8"))):
                if sentence.endswith(ENDS) or not place.startswith(ONLY_SENTENCES):
                    found.setdefault(Text(sentence), []).append(place)
    for path in _files(root, RAISING):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Raise):
                for sentence in sentences(node):
                    found.setdefault(Text(sentence), []).append(path.relative_to(root).as_posix())
    for word in WORDS:
        found.setdefault(Text(word), []).append("bot/language/extraction.py")
    return {text: list(dict.fromkeys(places)) for text, places in found.items()}


def spoken(tree: ast.AST) -> Iterator[Text]:
    """What `say` and its like are given as literals, in a module that has them from here."""
    nodes = list(ast.walk(tree))
    if not any(isinstance(node, ast.ImportFrom) and (node.module or "").endswith("language") for node in nodes):
        return
    for node in nodes:
        match node:
            case ast.Call(func=ast.Name(id="say" | "unsaid"), args=[ast.Constant(value=str(text)), *_]):
                yield Text(text)
            case ast.Call(
                func=ast.Name(id="say_many"), args=[ast.Constant(value=str(one)), ast.Constant(value=str(many)), *_]
            ):
                yield Text(one, many)


def sentences(tree: ast.AST) -> Iterator[str]:
    """What reads like a sentence or a part of one, in the order of the code."""
    for node in _heard(tree):
        text = template(node)
        if text is None or not _PROSE.search(text) or _NO_PROSE.search(text):
            continue
        text = text.strip()
        if text.endswith(ENDS) or "{" in text or text[0].islower():  # a part that begins large is a name
            yield text


def template(node: ast.AST) -> str | None:
    """The text of a literal, a placeholder for each value; None for anything else. Sums of texts are one text."""
    values = 0

    def walk(part: ast.AST) -> str | None:
        nonlocal values
        match part:
            case ast.Constant(value=str(text)):
                return text
            case ast.JoinedStr(values=parts):
                return "".join(walk(one) or "" for one in parts)
            case ast.BinOp(left=left, op=ast.Add(), right=right) if _is_text(left) or _is_text(right):
                return (walk(left) or "") + (walk(right) or "")
        values += 1
        return f"{{{values - 1}}}"

    return walk(node) if _is_text(node) else None


def _is_text(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(left) or _is_text(right)
    return False


def _heard(node: ast.AST) -> Iterator[ast.AST]:
    """The outermost texts below a node, and those within what is put into them, without what members never read."""
    for child in ast.iter_child_nodes(node):
        if _is_silent(child):
            continue
        if _is_text(child):
            yield child
            yield from _inside(child)
        else:
            yield from _heard(child)


def _inside(text: ast.AST) -> Iterator[ast.AST]:
    match text:
        case ast.JoinedStr(values=parts):
            for part in parts:
                if isinstance(part, ast.FormattedValue):
                    yield from _heard(ast.Expr(part.value))
        case ast.BinOp(left=left, right=right):
            for side in (left, right):
                if _is_text(side):
                    yield from _inside(side)
                else:
                    yield from _heard(ast.Expr(side))


def _is_silent(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Assert():
            return True  # docstrings
        case ast.Call(func=function) if _LOG.match(ast.unparse(function)):
            return True
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name))) if name in _PROGRAMMING:
            return True
        case ast.arg() | ast.AnnAssign(value=None):
            return True
    return False


def _files(root: Path, folders: tuple[str, ...]) -> list[Path]:
    return [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
