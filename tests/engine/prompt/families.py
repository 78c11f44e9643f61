"""Prompts built to be slow to read: each family maps a length to a prompt of about that many characters."""

from __future__ import annotations

from collections.abc import Callable


def _repeated(unit: str) -> Callable[[int], str]:
    return lambda length: unit * (length // len(unit))


def _nested(opening: str, middle: str, closing: str) -> Callable[[int], str]:
    def family(length: int) -> str:
        depth = (length - len(middle)) // (len(opening) + len(closing))
        return opening * depth + middle + closing * depth

    return family


def _led(head: str, unit: str) -> Callable[[int], str]:
    return lambda length: head + unit * ((length - len(head)) // len(unit))


FAMILIES: dict[str, Callable[[int], str]] = {
    "plain words": _repeated("red flower, "),
    "round brackets left open": _repeated("("),
    "square brackets left open": _repeated("["),
    "brackets that close nothing": _repeated(")]"),
    "deep round brackets": _nested("(", "x", ")"),
    "deep weights": _nested("(a ", "x", ":1.1)"),
    "deep brackets of both kinds": _nested("([", "x", "])"),
    "brackets that cross": _nested("([:", "x", ")]"),
    "a piece in every open bracket": _repeated("(:"),
    "deep edits": _nested("[a:", "x", ":5]"),
    "deep turns": _nested("[a|", "x", "|b]"),
    "edits in a row": _repeated("[a:b:.5]"),
    "edits left open": _repeated("[a:b:"),
    "turns of different lengths": lambda length: "".join(
        f"[{'|'.join('abcdefghijkl'[: 2 + number % 11])}]" for number in range(length // 15)
    ),
    "one bracket with many colons": _led("[", "a:"),
    "one bracket with many turns": lambda length: "[" + "a|" * ((length - 2) // 2) + "]",
    "colons and spaces": _repeated(":    "),
    "a colon and spaces without end": _led("(a:", " "),
    "digits without end": _led("[a:", "1"),
    "spaces before a word that is not BREAK": _led("BREAK", " "),
    "BREAK after BREAK": _repeated("BREAK "),
    "AND after AND": _repeated("a AND "),
    "tags left open": _repeated("<lora:a"),
    "smaller-than signs": _repeated("<"),
    "words that might be tags": _repeated("<aaaaaaaaaaaaaaaa"),
    "different tags": lambda length: "".join(f"<lora:{number:04}>" for number in range(length // 11)),
    "the same tag": _repeated("<lora:a:0>"),
    "bad tags": _repeated("<lora:a:x>"),
    "tags inside a word": _repeated("<a<lora:x>"),
    "weights over the steps without end": _led("<lora:a:", "0@0,"),
    "steps without end in many tags": lambda length: "".join(
        f"<lora:{number}:0@0,1@.{number}>" for number in range(length // 20)
    ),
    "block weights without end": lambda length: f"<lora:a:lbw={'1,' * (length // 2)}>",
    "arguments without end": lambda length: f"<lora:a{':te=1' * (length // 5)}>",
    "backslashes": _repeated("\\"),
    "escapes": _repeated("\\("),
}

# what only wildcards and variants could be slow at
FILES = {"w": ("a", "{b|c}", "__v__"), "v": tuple("abcdefgh"), "deep": ("{" * 500 + "x|y" + "}" * 500,)}
CHOICES: dict[str, Callable[[int], str]] = {
    "braces left open": _repeated("{"),
    "braces that close nothing": _repeated("}"),
    "deep braces": _nested("{", "x", "}"),
    "deep variants": _nested("{a|", "x", "|b}"),
    "deep variants in the weighted option": _nested("{0::a|1::", "x", "}"),
    "deep counts": _nested("{1$$", "x", "|b}"),
    "variants in a row": _repeated("{a|b}"),
    "variants left open": _repeated("{a|"),
    "one variant of many options": lambda length: "{" + "a|" * ((length - 2) // 2) + "}",
    "all of many options": lambda length: f"{{{length // 2 - 10}$$" + "a|" * (length // 2 - 11) + "}",
    "counts in a row": _repeated("{2$$"),
    "dollars": _repeated("$"),
    "underscores": _repeated("_"),
    "a wildcard without end": _led("__", "a"),
    "wildcards without end": _repeated("__a b"),
    "names with underscores": _led("__", "a_"),
    "wildcards": _repeated("__w__"),
    "wildcards of deep lines": _repeated("__deep__ " + " " * 300),
    "weights without end": _led("{", "1"),
    "weights": _repeated("{1::"),
    "escaped braces": _repeated("\\{"),
}

# what only matching the names of embeddings could be slow at: names that a text nearly holds, at every token
NAMES = (
    *("1" * length + "22" for length in range(1, 30)),
    "a " * 30 + "b",
    "<" + "a " * 20 + ">",
    *(f"name{number}" for number in range(2000)),
)
TOKENS: dict[str, Callable[[int], str]] = {
    "a token that begins long names": _repeated("1"),
    "a word that begins long names": _repeated("a "),
    "a bracket that begins names": _repeated("<a "),
    "brackets of names left open": _repeated("<"),
    "names nearly written": _repeated("name"),
    "commas": _repeated(","),
    "letters of other scripts": _repeated("日本"),
    "emojis": _repeated("😀"),
}
