"""How a request body becomes a message: the documented limits, attachments, `attachment://`, component ids."""

from __future__ import annotations

import mimetypes
import re
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .world import (
    ATTACHMENT_LIMIT,
    COMPONENTS_V2,
    EPHEMERAL,
    LOADING,
    Attachment,
    Fault,
    FieldErrors,
    Json,
    Message,
    walk,
)

ROW, BUTTON, SELECTS, TEXT, GALLERY, CONTAINER = 1, 2, (3, 5, 6, 7, 8), 10, 12, 17
SECTION, THUMBNAIL, FILE, SEPARATOR = 9, 11, 13, 14
ONLY_V2 = {SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER}
KEPT_FLAGS = EPHEMERAL | COMPONENTS_V2 | 1 << 2 | 1 << 12  # suppress embeds, suppress notifications
Files = dict[int, tuple[str, bytes]]


@dataclass
class Draft:
    content: str
    embeds: list[Json]
    components: list[Json]
    attachments: list[Attachment]
    flags: int
    errors: FieldErrors = field(default_factory=FieldErrors)


def write(message: Message, payload: Json, files: Files, base: str, *, limit: int = ATTACHMENT_LIMIT) -> None:
    """Puts the payload into the message, or raises Discord's error and leaves the message as it was."""
    flags = message.flags & ~LOADING | ((payload.get("flags") or 0) & KEPT_FLAGS & ~EPHEMERAL)
    draft = Draft(
        payload["content"] or "" if "content" in payload else message.content,
        payload["embeds"] or [] if "embeds" in payload else message.embeds,
        payload["components"] or [] if "components" in payload else message.components,
        _attachments(message, payload, files, base, limit),
        flags,
    )
    draft.embeds = [_embed(embed, draft) for embed in draft.embeds]
    if "components" in payload:
        draft.components = [_decorate(c, draft, ("components", i)) for i, c in enumerate(draft.components)]
        _number(draft.components)
    _limits(draft)
    draft.errors.raise_any()
    if not (draft.content or draft.embeds or draft.components or draft.attachments):
        raise Fault(400, 50006, "Cannot send an empty message")
    message.content, message.embeds, message.components = draft.content, draft.embeds, draft.components
    message.attachments, message.flags = draft.attachments, draft.flags
    if message.versions:
        message.edited = time.time()
    message.versions.append(message.json())


def _attachments(message: Message, payload: Json, files: Files, base: str, limit: int) -> list[Attachment]:
    for name, data in files.values():
        if len(data) > limit:
            raise Fault(413, 40005, f"Request entity too large: {name}")
    old = {str(attachment.id): attachment for attachment in message.attachments}
    listed = payload.get("attachments")
    if listed is None:
        listed = [{"id": key} for key in [*old, *files]]
    errors, result = FieldErrors(), []
    for index, item in enumerate(listed):
        if str(item["id"]) in old:
            result.append(old[str(item["id"])])
        elif str(item["id"]).isdecimal() and int(item["id"]) in files:
            name, data = files[int(item["id"])]
            result.append(_stored(message, item.get("filename") or name, data, item.get("description"), base))
        else:
            errors.add(("attachments", index, "id"), "INVALID", "Neither a file of this request nor an attachment")
    if len(result) > 10:
        errors.add(("attachments",), "BASE_TYPE_BAD_LENGTH", "Must be 10 or fewer in length.")
    if unlisted := set(map(str, files)) - {str(item["id"]) for item in listed}:
        errors.add(("attachments",), "INVALID", f"files {', '.join(unlisted)} are not listed")
    errors.raise_any()
    return result


def _stored(message: Message, name: str, data: bytes, description: str | None, base: str) -> Attachment:
    name = re.sub(r"[^\w.\-]", "_", name)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    attachment = Attachment(name, data, "", kind, description, ephemeral=message.ephemeral)
    attachment.url = f"{base}/attachments/{message.channel.id}/{attachment.id}/{name}?ex=0&is=0&hm=0"
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        attachment.width, attachment.height = struct.unpack(">II", data[16:24])
    return attachment


def _media(url: str, draft: Draft, path: tuple[Any, ...]) -> Json:
    """An unfurled media item; `attachment://name` must name a file of this message."""
    value: Json = {"id": "0", "url": url, "proxy_url": url, "width": None, "height": None, "content_type": None}
    if not url.startswith("attachment://"):
        if not url.startswith(("http://", "https://")):
            draft.errors.add((*path, "url"), "URL_TYPE_INVALID_SCHEME", "Scheme must be http, https or attachment")
        return value
    found = [a for a in draft.attachments if a.filename == url.removeprefix("attachment://")]
    if not found:
        draft.errors.add((*path, "url"), "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", f"{url} was not found")
        return value
    one = found[0]
    value |= {"id": str(one.id), "url": one.url, "proxy_url": one.url, "width": one.width, "height": one.height}
    return value | {"content_type": one.content_type, "attachment_id": str(one.id)}


def _embed(embed: Json, draft: Draft) -> Json:
    embed = {**embed, "type": "rich"}
    for key in ("image", "thumbnail"):
        url = (embed.get(key) or {}).get("url", "")
        found = [a for a in draft.attachments if url == f"attachment://{a.filename}"]
        if found:
            embed[key] = {"url": found[0].url, "proxy_url": found[0].url}
            embed[key] |= {"width": found[0].width, "height": found[0].height} if found[0].width else {}
    return embed


def _decorate(component: Json, draft: Draft, path: tuple[Any, ...]) -> Json:
    """The component as Discord gives it back: every field that has a default is there."""
    kind = component["type"]
    value = {key: item for key, item in component.items() if item is not None}
    if kind == CONTAINER:
        value |= {"accent_color": component.get("accent_color"), "spoiler": bool(component.get("spoiler"))}
    if kind == SEPARATOR:
        value = {"spacing": 1, "divider": True} | value
    if kind in SELECTS:
        value = {"min_values": 1, "max_values": 1} | value
    if kind == GALLERY:
        value["items"] = [
            {
                "media": _media(item["media"]["url"], draft, (*path, "items", index, "media")),
                "description": item.get("description"),
                "spoiler": bool(item.get("spoiler")),
            }
            for index, item in enumerate(component["items"])
        ]
    if kind == THUMBNAIL:
        value["media"] = _media(component["media"]["url"], draft, (*path, "media"))
        value |= {"description": component.get("description"), "spoiler": bool(component.get("spoiler"))}
    if kind == FILE:
        value["file"] = _media(component["file"]["url"], draft, (*path, "file"))
        value |= {"name": None, "size": None, "spoiler": bool(component.get("spoiler"))}
    if component.get("components"):
        children = enumerate(component["components"])
        value["components"] = [_decorate(child, draft, (*path, "components", i)) for i, child in children]
    if component.get("accessory"):
        value["accessory"] = _decorate(component["accessory"], draft, (*path, "accessory"))
    return value


def _number(components: list[Json]) -> None:
    taken = {c["id"] for c in walk(components) if c.get("id")}
    free = (number for number in range(1, 10_000) if number not in taken)
    for component in walk(components):
        component["id"] = component.get("id") or next(free)


def _limits(draft: Draft) -> None:
    errors, every = draft.errors, walk(draft.components)
    if len(draft.content) > 2000:
        errors.add(("content",), "BASE_TYPE_MAX_LENGTH", "Must be 2000 or fewer in length.")
    if sum(map(_embed_characters, draft.embeds)) > 6000:
        errors.add(("embeds",), "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")
    for name, count in Counter(c["custom_id"] for c in every if c.get("custom_id")).items():
        if count > 1:
            errors.add(("components",), "COMPONENT_CUSTOM_ID_DUPLICATED", f"{name} is there {count} times")
    if draft.flags & COMPONENTS_V2:
        for key in ("content", "embeds"):
            if getattr(draft, key):
                code = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"
                errors.add((key,), code, f"{key} cannot be used with Components V2")
        if len(every) > 40:
            errors.add(("components",), "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", f"{len(every)} of 40 components")
        if sum(len(c["content"]) for c in every if c["type"] == TEXT) > 4000:
            errors.add(("components",), "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", "More than 4000 characters of text")
    else:
        if len(draft.components) > 5:
            errors.add(("components",), "BASE_TYPE_BAD_LENGTH", "Must be 5 or fewer in length.")
        for index, component in enumerate(draft.components):
            if component["type"] != ROW:
                errors.add(("components", index, "type"), "UNION_TYPE_CHOICES", "Value of field must be 1")
        if any(c["type"] in ONLY_V2 for c in every):
            errors.add(("flags",), "INVALID", "These components need the flag IS_COMPONENTS_V2")
    for component in every:
        _one(component, errors)


def _one(component: Json, errors: FieldErrors) -> None:
    inner = [child["type"] for child in component.get("components") or []]
    where = ("components", component["id"])
    buttons, select = set(inner) == {BUTTON} and len(inner) <= 5, len(inner) == 1 and inner[0] in SELECTS
    if component["type"] == ROW and not (buttons or select):
        errors.add(where, "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "A row holds one to five buttons or one select")
    if component["type"] == BUTTON:
        if not (component.get("label") or component.get("emoji")):
            errors.add(where, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "A button needs a label or an emoji")
        if (component["style"] == 5) != ("url" in component) or (component["style"] < 5) != ("custom_id" in component):
            errors.add(where, "BUTTON_COMPONENT_CUSTOM_ID_REQUIRED", "A link has a url, another button a custom_id")
    if component["type"] == TEXT and not component["content"]:
        errors.add(where, "BASE_TYPE_BAD_LENGTH", "A text display cannot be empty")


def _embed_characters(embed: Json) -> int:
    texts = [embed.get("title"), embed.get("description"), (embed.get("footer") or {}).get("text")]
    texts += [(embed.get("author") or {}).get("name")]
    texts += [entry[key] for entry in embed.get("fields") or [] for key in ("name", "value")]
    return sum(len(text or "") for text in texts)
