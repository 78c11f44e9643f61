"""Reading: from a text or a picture's file to a Reading, whichever tool made it. Bounded in time and memory."""

from __future__ import annotations

import json
from typing import Any

from ..errors import MetadataUnreadable
from .comfyui import read_comfyui
from .facts import MAX_TEXT, Facts, text
from .fooocus import read_fooocus
from .invokeai import read_invokeai
from .novelai import read_novelai
from .picture import texts_of
from .settle import Reading, settle
from .stealth import read_stealth
from .swarmui import read_swarmui
from .webui import read_webui

_NOTHING = (
    "does not say how it was made. Discord's previews, and other sites, take the metadata away; send the file itself."
)
_JSON_READERS = (read_swarmui, read_fooocus, read_invokeai, read_novelai, read_comfyui)


def read_infotext(written: str) -> Reading:
    """What the text says: the WebUI's form, or one of the JSON forms of other tools. Raises MetadataUnreadable."""
    if len(written) > MAX_TEXT:
        raise MetadataUnreadable(f"The text has {len(written):,} characters; {MAX_TEXT:,} is the most.")
    facts = _facts(_named(written))
    if facts is None:
        raise MetadataUnreadable(
            "This text does not say how a picture was made; it should end as in 'Steps: 20, Seed: 7'."
        )
    return settle(facts)


def read_picture(data: bytes) -> Reading:
    """What the file says, a PNG, JPEG or WebP. Raises ImageUnreadable, or MetadataUnreadable where it says nothing.

    Texts of the file come first; only where there is none of use are its pixels searched for a hidden one.
    """
    facts = _facts(texts_of(data))
    if facts is None and (hidden := read_stealth(data)) is not None:
        facts = _facts(_named(hidden))
    if facts is None:
        raise MetadataUnreadable(f"This picture {_NOTHING}")
    return settle(facts)


def _facts(texts: dict[str, str]) -> Facts | None:
    """Of the first reader that knows these texts. A WebUI's text comes first: some tools write it beside their own."""
    written = texts.get("parameters", "")
    if written and _object(written) is None:
        if (facts := read_webui(written, "Fooocus" if "fooocus_scheme" in texts else "")) is not None:
            return facts
        texts = {name: text for name, text in texts.items() if name != "parameters"}
    return next((facts for read in _JSON_READERS if (facts := read(texts)) is not None), None)


def _named(written: str) -> dict[str, str]:
    """A bare text as the texts of a picture: an object of them, as the hidden ones are, or a single one."""
    value = _object(written)
    if value is None:
        return {"parameters": written}
    if "Comment" in value:
        return {key: text(entry) or json.dumps(entry) for key, entry in value.items()}
    if "nodes" in value and "links" in value:
        return {"workflow": written}
    if any(isinstance(node, dict) and "class_type" in node for node in value.values()):
        return {"prompt": written}
    return {"invokeai_metadata" if "positive_prompt" in value else "parameters": written}


def _object(written: str) -> dict[str, Any] | None:
    """The text as a JSON object, if it is one; a prompt may begin with a brace too."""
    if not written.lstrip().startswith("{"):
        return None
    try:
        value: dict[str, Any] = json.loads(written)
    except (ValueError, RecursionError):
        return None
    return value
