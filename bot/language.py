"""What members read, in their language. English is the text in the code; a translation is looked up by it."""

from __future__ import annotations


def say(text: str, /, **values: object) -> str:
    """`text` in the language of whoever is being answered, with `{name}` filled from `values`."""
    return text.format(**values) if values else text


def say_many(one: str, many: str, number: int, /, **values: object) -> str:
    """`one` for a single thing, `many` otherwise, in the language of whoever is being answered; `{n}` is the number."""
    return say(one if number == 1 else many, n=number, **values)
