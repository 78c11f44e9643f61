"""Requests with tags in the prompt, and the way back for the infotext."""

from __future__ import annotations

from dataclasses import replace

from ..errors import PromptError
from ..types import Request
from .parsed import parse_prompt
from .tags import added, find_tags, key, written


def untagged(request: Request) -> Request:
    """The request with the tags of its prompt moved into `adapters`, weights of one name summed.

    The very same request where the prompt holds no tags. Raises PromptError with a sentence for each tag that is bad.
    """
    parsed = parse_prompt(request.prompt)
    if parsed.errors:
        raise PromptError(" ".join(parsed.errors))
    if parsed.text == request.prompt:
        return request
    asked = {key(use): use for use in parsed.adapters}
    listed = [added(use, asked.pop(key(use))) if key(use) in asked else use for use in request.adapters]
    return replace(request, prompt=parsed.text, adapters=(*listed, *asked.values()))


def tagged(request: Request) -> str:
    """The prompt with a tag for each adapter, as an infotext holds it. `untagged` takes them out again."""
    tags = " ".join(map(written, request.adapters))
    first, second = request.prompt, tags
    if len(list(find_tags(first + ">"))) > len(list(find_tags(first))):
        first, second = tags, request.prompt  # its end would swallow the tags
    return " ".join(filter(None, (first, second)))
