"""Requests with tags in the prompt, and the way back for the infotext."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import BadRequest, EngineError, PromptError
from ..types import AdapterUse, Request
from .parsed import parse_prompt
from .tags import adapters_of, find_tags, key, shortened, without_tags, written

MAX_NOTES = 20


def untagged(request: Request) -> Request:
    """The request with the tags of its prompt moved into `adapters`, weights of one name summed.

    The adapters of tags stand behind those that were listed. A tag that cannot be used is left out by itself, and
    `notes` say so. The very same request where the prompt holds no tags. Raises PromptError: too many parts.
    """
    tags = list(find_tags(request.prompt))
    text = without_tags(request.prompt, tags)
    excess = parse_prompt(text).errors
    if excess:
        raise PromptError(" ".join(excess))
    if not tags:
        return request
    asked, errors = adapters_of(tags)
    mix, notes = list(request.adapters), list(errors)
    places = {key(use): place for place, use in reversed(list(enumerate(mix)))}
    for use in asked:
        place = places.get(key(use))
        try:
            if place is None:
                mix.append(use)
            else:
                mix[place] = mix[place].plus(use)
        except BadRequest as error:
            notes.append(_left_out(use, error))
    return noted(replace(request, prompt=text, adapters=tuple(mix)), notes)


def identified(request: Request) -> Request:
    """The request with the sha256 that `known` has for each adapter that goes by its name alone."""
    hashes = {key(use): use.sha256 for use in request.known}
    uses = tuple(use if use.sha256 else replace(use, sha256=hashes.get(key(use), "")) for use in request.adapters)
    return request if uses == request.adapters else replace(request, adapters=uses)


def left_out(request: Request, refused: Sequence[tuple[AdapterUse, EngineError]]) -> Request:
    """The request, which is already without these uses that only tags had asked for, with a note for each that has
    none yet.
    """
    fresh = [one for one in refused if not any(note.startswith(_left_out(one[0], "")) for note in request.notes)]
    return noted(request, [_left_out(use, error) for use, error in fresh])


def noted(request: Request, notes: Sequence[str]) -> Request:
    """The request with these notes too; where they are too many, the last says how many are not there."""
    every = (*request.notes, *notes)
    if len(every) > MAX_NOTES:
        every = (*every[: MAX_NOTES - 1], f"{len(every) - MAX_NOTES + 1} more tags are left out.")
    return replace(request, notes=every) if notes else request


def _left_out(use: AdapterUse, error: EngineError | str) -> str:
    return f"{shortened(written(use))} is left out: {error}"  # written out, for translators find it by its words


def tagged(request: Request) -> str:
    """The prompt with a tag for each adapter, as an infotext holds it. `untagged` takes them out again."""
    tags = " ".join(map(written, request.adapters))
    first, second = request.prompt, tags
    if len(list(find_tags(first + ">"))) > len(list(find_tags(first))):
        first, second = tags, request.prompt  # its end would swallow the tags
    return " ".join(filter(None, (first, second)))
