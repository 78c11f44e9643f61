"""The use-cases of every desk that the commands lead to, beside those of drawing, judging and moderating."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import zipfile
from typing import Any

from bot.orders import (
    Judging,
    Level,
    Models,
    Moderation,
    Orders,
    Oversight,
    Privacy,
    Settings,
    SettingsChange,
    SettingsDesk,
    Shared,
    Sharing,
    Shelf,
    Stock,
    TooLate,
    Who,
    Wish,
)
from bot.orders.additions import Offer
from bot.orders.intake import Intake
from engine.config import BUILTIN_FOLDER
from tests.fakes import press

from .people import IN_SERVER, NAMES, SPECIAL, Person, Rank, Seat, Thing
from .town import Town
from .usecases import CASES, PERHAPS, THERE, YES, Act, Case, _always, _job, _order, _request

DESKS = (Orders, Judging, Moderation, Shelf, Intake, Privacy, SettingsDesk, Models, Stock, Oversight)
OFFER = Offer(source="nonsense", proposed="nonsense")
NO_NUMBER = "0" * 22
_ONE, _SPECIAL = THERE[:1], (Thing.MISSING, *SPECIAL)
_numbers = itertools.count(1)


def uncovered() -> set[str]:
    """What a desk does for somebody, and no case tries."""
    public = {
        f"{_called(kind)}.{name}"
        for kind in DESKS
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and {"who", "order", "press"} & inspect.signature(method).parameters.keys()
    }
    return public - {case.name.partition(" ")[0] for case in (*CASES, *MORE)}


def _called(kind: type) -> str:
    return "settings" if kind is SettingsDesk else kind.__name__.lower()


def _asked(seat: Seat, thing: Thing) -> bool:
    """Whether a question of the owner's is this person's to answer there."""
    return seat.person is Person.OWNER and seat.place in IN_SERVER and thing is not Thing.MISSING


def _number(town: Town, kind: str, thing: Thing) -> str:
    return NO_NUMBER if thing is Thing.MISSING else town.questions[kind]


def _refused(seat: Seat, thing: Thing) -> str:
    """What is named to be added is nothing that can be, and what is sent larger than any disk."""
    return "refused"


def _looked_up(seat: Seat, thing: Thing) -> str:
    return "refused" if _asked(seat, thing) else "missing"


def _cell(seat: Seat, thing: Thing) -> str:
    """The owner's job is no grid, and nobody else's."""
    return "refused" if seat.person is Person.OWNER and thing is not Thing.MISSING else "missing"


async def _export(town: Town, who: Who, thing: Thing) -> object:
    """All that somebody is handed out, as text."""
    async with town.world.bot.privacy.export(who, 10**8) as export:
        return await asyncio.to_thread(_read, export.parts)


def _read(parts: Any) -> str:
    texts = []
    for part in parts:
        with zipfile.ZipFile(part) as archive:
            texts += [archive.read(name).decode("utf-8", "replace") for name in archive.namelist()]
    return "\n".join(texts)


async def _stopped(town: Town, who: Who, thing: Thing) -> object:
    """The owner's import is under way; somebody stops it who knows its key."""
    intake, owner = town.world.bot.intake, town.who(Seat(Person.OWNER, IN_SERVER[0])).member_id
    work: asyncio.Task[Any] = asyncio.create_task(asyncio.sleep(60))
    intake._under_way[owner] = "key", work
    try:
        if not intake.stop(who, "other" if thing is Thing.MISSING else "key"):
            raise TooLate("Nothing is under way.")
        return "stopped"
    finally:
        del intake._under_way[owner]
        work.cancel()


async def _with_model(town: Town, who: Who, thing: Thing) -> None:
    await town.world.bot.models.add(who, "spare", str(BUILTIN_FOLDER / "model"))


async def _drained(town: Town, who: Who, thing: Thing) -> object:
    """And open again, or nobody else could order."""
    found = await town.world.bot.oversight.drain(who, "x")
    await town.world.bot.oversight.resume(who)
    return found


def _changed(level: Level) -> Act:
    """The adapter is the one that may be used there; of oneself a member chooses other things."""

    def change(town: Town, who: Who, thing: Thing) -> Any:
        own = SettingsChange(said=Settings(steps=7))
        listed = SettingsChange(allow_adapter=NAMES[thing])
        return town.world.bot.settings.change(who, level, own if level is Level.MEMBER else listed)

    return change


ORDERING = (
    Case("orders.use", lambda t, w, n: t.world.bot.orders.use(w, NAMES[n], None)),
    Case(
        "orders.cell", lambda t, w, n: t.world.bot.orders.cell(_job(t, n), press(by=w), 1), things=THERE, comes_to=_cell
    ),
    Case("orders.withheld", lambda t, w, n: t.world.bot.orders.withheld(t.job, w), things=_ONE, exists=_always),
    Case("orders.adapter apart", lambda t, w, n: t.world.bot.orders.adapter(w, NAMES[n]), things=_SPECIAL),
    Case(
        "orders.adapters apart",
        lambda t, w, n: t.world.bot.orders.adapters(w, ""),
        things=_ONE,
        exists=_always,
        command="offered",
    ),
    Case(
        "orders.price apart",
        lambda t, w, n: t.world.bot.orders.price(_request(n), w),
        things=_SPECIAL,
        comes_to=Seat.draws,
    ),
    Case(
        "orders.imagine apart",
        lambda t, w, n: t.world.bot.orders.imagine(_order(w, n)),
        things=_SPECIAL,
        comes_to=Seat.draws,
        changes=YES,
    ),
)
SHELF = (
    Case(
        "shelf.browse",
        lambda t, w, n: t.world.bot.shelf.browse(w, Wish()),
        things=_ONE,
        exists=_always,
        changes=YES,
        command="lora browse",
    ),
    Case(
        "shelf.turn",
        lambda t, w, n: t.world.bot.shelf.turn(w, _number(t, "browse", n), pages=1),
        things=THERE,
        exists=_asked,
        changes=PERHAPS,
    ),
    Case("shelf.facets", lambda t, w, n: t.world.bot.shelf.facets(w), things=_ONE, exists=_always),
    Case("shelf.mine", lambda t, w, n: t.world.bot.shelf.mine(w, NAMES[n], 25), exists=_always),
    Case("shelf.details", lambda t, w, n: t.world.bot.shelf.details(w, NAMES[n]), things=tuple(Thing)),
    Case("shelf.own", lambda t, w, n: t.world.bot.shelf.own(w, NAMES[n]), own=True, things=tuple(Thing)),
    Case(
        "shelf.share",
        lambda t, w, n: t.world.bot.shelf.share(w, NAMES[n], Sharing.PRIVATE),
        own=True,
        changes=PERHAPS,
    ),
    Case("shelf.fork", lambda t, w, n: t.world.bot.shelf.fork(w, NAMES[n], "forked"), things=tuple(Thing), changes=YES),
    Case("shelf.favour", lambda t, w, n: t.world.bot.shelf.favour(w, NAMES[n]), things=tuple(Thing), changes=YES),
    Case("shelf.ask_removal", lambda t, w, n: t.world.bot.shelf.ask_removal(w, NAMES[n]), own=True, changes=YES),
    Case(
        "shelf.remove",
        lambda t, w, n: t.world.bot.shelf.remove(w, _number(t, "remove", n)),
        things=THERE,
        exists=_asked,
        changes=YES,
    ),
    Case(
        "shelf.spare",
        lambda t, w, n: t.world.bot.shelf.spare(w, _number(t, "remove", n)),
        things=THERE,
        exists=_asked,
        changes=YES,
    ),
    Case(
        "shelf.edit",
        lambda t, w, n: t.world.bot.shelf.edit(w, NAMES[n], {"description": "x"}),
        own=True,
        things=tuple(Thing),
        changes=YES,
    ),
)
INTAKE = (
    Case("intake.look", lambda t, w, n: t.world.bot.intake.look(w, "nonsense"), things=_ONE, comes_to=_refused),
    Case(
        "intake.look_at_upload",
        lambda t, w, n: t.world.bot.intake.look_at_upload(w, "nowhere", "x.safetensors", 10**15),
        things=_ONE,
        comes_to=_refused,
    ),
    Case("intake.add", lambda t, w, n: t.world.bot.intake.add(w, OFFER), things=_ONE, comes_to=_refused),
    Case("intake.ask", lambda t, w, n: t.world.bot.intake.ask(w, OFFER), things=_ONE, exists=_always, changes=YES),
    Case(
        "intake.ask_which",
        lambda t, w, n: t.world.bot.intake.ask_which(w, {"nonsense": "x"}, "private"),
        things=_ONE,
        exists=_always,
        changes=YES,
    ),
    Case(
        "intake.show_to",
        lambda t, w, n: t.world.bot.intake.show_to(w, _number(t, "add", n), "everyone"),
        things=THERE,
        exists=_asked,
        changes=YES,
    ),
    Case(
        "intake.answer",
        lambda t, w, n: t.world.bot.intake.answer(w, _number(t, "add", n)),
        things=THERE,
        exists=_asked,
        changes=YES,
    ),
    Case(
        "intake.which",
        lambda t, w, n: t.world.bot.intake.which(w, _number(t, "add which", n), "nonsense"),
        things=THERE,
        comes_to=_looked_up,
    ),
    Case(
        "intake.stop",
        _stopped,
        things=THERE,
        exists=lambda seat, thing: seat.person is Person.OWNER and thing is not Thing.MISSING,
    ),
)
PRIVACY = (
    Case("privacy.ask", lambda t, w, n: t.world.bot.privacy.ask(w), things=_ONE, exists=_always, changes=YES),
    Case("privacy.export", _export, things=_ONE, exists=_always, command="privacy export"),
    Case(
        "privacy.keep",
        lambda t, w, n: t.world.bot.privacy.keep(w, _number(t, "forget", n)),
        things=THERE,
        exists=_asked,
        changes=YES,
    ),
    Case(
        "privacy.delete",
        lambda t, w, n: t.world.bot.privacy.delete(w, _number(t, "forget", n), Shared.REMOVED),
        things=THERE,
        exists=_asked,
        changes=YES,
    ),
)
GOVERNING = (
    Case("settings.of", lambda t, w, n: t.world.bot.settings.of(w), things=_ONE, exists=_always),
    Case("settings.in_force", lambda t, w, n: t.world.bot.settings.in_force(w), things=_ONE, exists=_always),
    Case(
        "settings.limit",
        lambda t, w, n: t.world.bot.settings.limit(w, SettingsChange(said=Settings(jobs_per_member=1))),
        needs=Rank.ADMIN,
        server=True,
        things=_ONE,
        exists=_always,
        changes=YES,
    ),
    *(
        Case(
            f"settings.shown {level}",
            lambda t, w, n, level=level: t.world.bot.settings.shown(w, level),  # type: ignore[misc]
            needs=Rank.MEMBER if level is Level.MEMBER else Rank.ADMIN,
            server=level is not Level.MEMBER,
            things=_ONE,
            exists=_always,
        )
        for level in (Level.SERVER, Level.CHANNEL, Level.MEMBER)
    ),
    *(
        Case(
            f"settings.change {level}",
            _changed(level),
            needs=Rank.ADMIN,
            server=True,
            changes=YES,
        )
        for level in (Level.SERVER, Level.CHANNEL)
    ),
    Case("settings.change member", _changed(Level.MEMBER), things=_ONE, exists=_always, changes=YES),
)
RUNNING = (
    Case(
        "models.add",
        lambda t, w, n: t.world.bot.models.add(w, f"model {next(_numbers)}", str(BUILTIN_FOLDER / "model")),
        needs=Rank.OPERATOR,
        things=_ONE,
        exists=_always,
        changes=YES,
    ),
    Case(
        "models.remove",
        lambda t, w, n: t.world.bot.models.remove(w, "spare"),
        needs=Rank.OPERATOR,
        things=_ONE,
        exists=_always,
        changes=YES,
        before=_with_model,
    ),
    *(
        Case(
            f"stock.{name}",
            lambda t, w, n, name=name: getattr(t.world.bot.stock, name)(w),  # type: ignore[misc]
            needs=Rank.ADMIN,
            things=_ONE,
            exists=_always,
            command=f"adapter {name}",
        )
        for name in ("held", "stats")
    ),
    *(
        Case(
            f"stock.{name}",
            lambda t, w, n, name=name: getattr(t.world.bot.stock, name)(w, NAMES[n]),  # type: ignore[misc]
            needs=Rank.OPERATOR,
            changes=PERHAPS,
        )
        for name in ("load", "unload", "pin", "unpin", "warm", "cool")
    ),
    Case(
        "oversight.queue",
        lambda t, w, n: t.world.bot.oversight.queue(w),
        needs=Rank.MODERATOR,
        server=True,
        things=_ONE,
        exists=_always,
        command="admin queue",
    ),
    Case(
        "oversight.audit",
        lambda t, w, n: t.world.bot.oversight.audit(w),
        needs=Rank.ADMIN,
        server=True,
        things=_ONE,
        exists=_always,
        command="admin audit",
    ),
    Case(
        "oversight.audit everywhere",
        lambda t, w, n: t.world.bot.oversight.audit(w, everywhere=True),
        needs=Rank.OPERATOR,
        server=True,
        things=_ONE,
        exists=_always,
        command="admin audit",
    ),
    *(
        Case(f"oversight.{name}", act, needs=Rank.OPERATOR, server=True, things=_ONE, exists=_always, changes=YES)
        for name, act in (("drain", _drained), ("resume", lambda t, w, n: t.world.bot.oversight.resume(w)))
    ),
)
MORE = (*ORDERING, *SHELF, *INTAKE, *PRIVACY, *GOVERNING, *RUNNING)
