"""What /lora add shows: an adapter before anything of it is kept, how far it is on its way, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import discord
from discord import ui

from ..importing import SCAN_PASSED, Preview, Removed, Updated, megabytes
from ..language import said as translated
from ..language import say, say_many
from ..orders import CatalogEntry
from ..orders.additions import EVERYONE, GUILD, Added, Offer, Origin
from .cards import FAULT, Card
from .text import code, lines, safe, weight

PREVIEWS = 4
TRIGGERS = 12
LINK = 512  # characters that Discord takes for a button's address


def offer_card(offer: Offer, *rows: ui.ActionRow[Any], adult: bool, drawn: str = "") -> Card:
    """Everything that is known beforehand. `drawn` is the family of the usual base model, "" while unknown."""
    shown = [one for one in offer.previews if not one.mature or (adult and not offer.real_person)][:PREVIEWS]
    gallery = [ui.MediaGallery[Any](*map(_picture, shown))] if shown else []
    said = [_head(offer), *_facts(offer), *_cautions(offer, drawn, len(offer.previews) - len(shown))]
    return Card(ui.TextDisplay[Any](lines(said, say("And more."))), *gallery, *rows)


def progress_card(offer: Offer, done: int, total: int | None, *rows: ui.ActionRow[Any]) -> Card:
    """How much of the file has arrived; all of it, and it is being looked at."""
    title = code(offer.title, 100)
    if total and done >= total:
        words = say("Looking at {title}: every byte is checked…", title=title)
    elif total:
        much = f"{100 * done // total} %"
        words = say("Fetching {title}: {much} of {size}…", title=title, much=much, size=megabytes(total))
    else:
        words = say("Fetching {title}: {size} so far…", title=title, size=megabytes(done))
    return Card(ui.TextDisplay[Any](words), *rows)


def added_card(added: Added) -> Card:
    """What the file is called here and who sees it, and what is to be known about it."""
    entry = added.entry
    name = code(entry.name, 60)
    if not added.new:
        return Card(ui.TextDisplay[Any](say("This is here already, as {name}. Nothing was added.", name=name)))
    same, use = code(added.same_as, 60), code(f"<lora:{entry.name}:{weight(entry.weight)}>", 90)
    notes = [safe(translated(warning), 300) for warning in added.warnings[:5]]
    if added.shared:
        notes.append(say("Its tensors are those of {same}, only its metadata differ; that file is used.", same=same))
    elif added.same_as:
        notes.append(say("The same file is here as {same} too; it is kept once.", same=same))
    notes.append(say("Write {use} in a prompt. A sample picture is drawn when there is time.", use=use))
    head = say("Added {name}, seen by {whom}.", name=name, whom=_whom(entry.visibility))
    return Card(ui.TextDisplay[Any]("\n".join([head, *(f"-# {line}" for line in notes)])))


def failed_card(sentence: str, *rows: ui.ActionRow[Any]) -> Card:
    """Why nothing was added; `sentence` is harmless already."""
    return Card(ui.TextDisplay[Any](sentence), *rows, colour=FAULT)


def picture_card(
    here: Sequence[tuple[str, CatalogEntry]], unclear: Sequence[str], *rows: ui.ActionRow[Any], more: int
) -> Card:
    """The adapters that a picture names: those that are here, and those that say nothing by which to look for them."""
    said = [
        say_many("The picture names {n} adapter.", "The picture names {n} adapters.", more + len(here) + len(unclear))
    ]
    for name, entry in here:
        said.append(say("- {name}: here as {entry}", name=code(name, 60), entry=code(entry.name, 60)))
    said += [say("- {name}: not here, and the picture says no hash of it", name=code(name, 60)) for name in unclear]
    if more:
        said.append(say_many("One can be looked for:", "{n} can be looked for:", more))
    return Card(ui.TextDisplay[Any](lines(said, say("And more."))), *rows)


def link_card(address: str, most: str, minutes: int, sent: ui.Item[Any]) -> Card:
    """The way to the drop page, and the button for when that was gone. The address is ours."""
    words = say(
        "Here you can send one .safetensors file of up to {most}, within {minutes} minutes. Nobody else should get "
        "this link: what is sent there is yours. Nothing is added before you have seen what it is.",
        most=most,
        minutes=minutes,
    )
    button: ui.Button[Any] = ui.Button(label=say("Open the page"), url=address)
    return Card(ui.TextDisplay[Any](words), ui.ActionRow[Any](button, sent))


def page_button(offer: Offer) -> tuple[ui.Button[Any], ...]:
    """A link to the page of the source, where it has one."""
    if not offer.page or len(offer.page) > LINK or urlsplit(offer.page).scheme not in ("https", "http"):
        return ()
    return (ui.Button(label=say("Its page"), url=offer.page),)


def origin_lines(origin: Origin, *, mine: bool) -> list[str]:
    """What /lora info says of where an entry came from. Whose it is (`mine`) reads how to get what is newer."""
    come_from, place = origin.provenance, origin.provenance.origin
    by = say(" by {creator}", creator=code(come_from.creator, 60)) if come_from.creator else ""
    day = discord.utils.format_dt(origin.checked_at, "d")
    said = [say("from: {place}{by}", place=_place(place), by=by)]
    match origin.at_source:
        case Removed():
            said.append(
                "-# " + say("It is gone from {place}, as seen on {day}; what is here stays.", place=place, day=day)
            )
        case Updated(version, source) if mine:
            newer = code(version, 60)
            said.append("-# " + say("There is an update: {newer}. {command}", newer=newer, command=_command(source)))
        case Updated(version):
            said.append("-# " + say("Its maker has a newer version: {newer}.", newer=code(version, 60)))
    return said


def _command(source: str) -> str:
    return code(f"/lora add source:{source}", 300)


def _head(offer: Offer) -> str:
    title = code(offer.title or offer.file_name, 100)
    version = f" {code(offer.version, 60)}" if offer.version else ""
    if not offer.creator:
        return f"{title}{version}"
    return say("{title} by {creator}", title=title + version, creator=code(offer.creator, 60))


def _facts(offer: Offer) -> list[str]:
    made = code(offer.base, 60) if offer.base else say("does not say which base model")
    made += f" ({offer.family})" if offer.family and offer.family != offer.base else ""
    facts: Mapping[str, str] = {
        say("where"): _place(offer.origin),
        say("made for"): made,
        say("kind"): code(offer.kind, 60) if offer.kind else "",
        say("layers"): str(offer.layers) if offer.layers else "",
        say("size"): megabytes(offer.size) if offer.size is not None else "",
        say("trigger words"): ", ".join(code(word, 60) for word in offer.triggers[:TRIGGERS]),
        say("licence"): safe(translated(offer.licence), 200) or say("not stated"),
        say("scans"): ", ".join(f"{safe(name, 20)} {_scan(result)}" for name, result in offer.scans.items()),
        say("says"): safe(offer.description, 300),
        say("called here"): code(offer.name or offer.proposed, 60),
        say("seen by"): _whom(offer.visibility),
    }
    return [f"{what}: {value}" for what, value in facts.items() if value]


def _cautions(offer: Offer, drawn: str, hidden: int) -> list[str]:
    """What should be thought of before a yes."""
    said = []
    if offer.here:
        said.append(say("The same tensors are here already, as {name}.", name=code(offer.here, 60)))
    if drawn and offer.family and offer.family != drawn:
        said.append(say("It does not fit the usual base model here, which is {family}.", family=drawn))
    if offer.mature:
        said.append(say("It is not for everybody: it is used in age-restricted channels alone."))
    if offer.real_person:
        said.append(say("It shows a real person, which most servers do not allow."))
    if hidden:
        said.append(say_many("{n} sample picture is not shown.", "{n} sample pictures are not shown.", hidden))
    said += [safe(translated(warning), 300) for warning in offer.warnings[:5]]
    return [f"-# {line}" for line in said]


def _scan(result: str) -> str:
    return say("passed") if result == SCAN_PASSED else safe(result, 20)


def _place(origin: str) -> str:
    words = {
        "upload": say("a file that was sent"),
        "web": say("an address on the web"),
        "watch folder": say("a folder of this bot"),
    }
    return words.get(origin, origin)


def _whom(visibility: str) -> str:
    if visibility == EVERYONE:
        return say("everyone on this bot")
    return say("everyone in this server") if visibility == GUILD else say("only you")


def _picture(preview: Preview) -> discord.MediaGalleryItem:
    return discord.MediaGalleryItem(preview.url)
