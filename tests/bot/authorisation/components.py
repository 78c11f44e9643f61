"""Every kind of button and menu, pressed by everybody everywhere: fresh, used, expired, made up; and forms, crossed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import strategies

from bot.views.adapter import ADAPTER_DEEDS
from tests.bot import forgery
from tests.bot.forgery import Forged

from .people import IN_SERVER, NAMES, SEATS, Person, Place, Rank, Seat, Thing
from .town import Tally, Town, town

OWNER, MEMBER, MODERATOR = (Seat(person, Place.HERE) for person in (Person.OWNER, Person.MEMBER, Person.MODERATOR))
GONE_JOB, GONE_NUMBER, GONE_QUESTION, GONE_CARD = "nosuchjob", "999", "0" * 16, "0" * 22
OF_ADAPTER, OF_JOB = "1", "2"  # the reports of the town


@dataclass(frozen=True)
class Kind:
    """A component: its id with the thing's in place of {}, who may press it, and what kind of press it is.

    `changes` whether those then change the store (None: some do); `once` whether a second press changes nothing more;
    `answers` the command whose answer it is, for what may be read of it.
    """

    custom_id: str
    thing: str
    gone: str
    may: Callable[[Seat], bool]
    changes: bool | None = True
    once: bool = False
    answers: str = ""
    values: tuple[str, ...] | None = None


async def try_components(folder: Path) -> Tally:
    tally = Tally()
    async with town(folder) as place:
        kinds = await _kinds(place)
        for kind in kinds:
            await _fresh(place, kind, tally)
        await _unknown(place, kinds, tally)
        await _forms(place, tally)
        kinds = [kind for kind in kinds if not kind.custom_id.startswith("loom:adapter")]
        await place.store.jobs.prune(timedelta(0))
        for kind in kinds:  # their pictures are gone
            await _nothing(place, kind, _others(kind), kind.thing, tally)
        await place.ledger.restore()
        await place.world.restart()
        for kind in kinds:  # what a question was about is forgotten with the process that asked
            seats = SEATS if kind.custom_id.startswith("loom:grid") else _others(kind)
            await _nothing(place, kind, seats, kind.thing, tally)
        tally.quiet(place.world.env)
    return tally


def _others(kind: Kind) -> list[Seat]:
    return [seat for seat in SEATS if not kind.may(seat)]


async def _kinds(place: Town) -> list[Kind]:
    number = await _question(place)
    job, waiting = place.job.id, place.waiting

    def is_owner(seat: Seat) -> bool:
        return seat.person is Person.OWNER

    def runs_the_bot(seat: Seat) -> bool:
        return seat.rank is Rank.OPERATOR

    def anybody(seat: Seat) -> bool:
        return True

    entries = {}
    for thing in (Thing.PRIVATE, Thing.GUILD):
        entry = await place.store.catalog.find(place.who(OWNER), NAMES[thing])
        assert entry is not None
        entries[thing] = str(entry.id)
    return [
        *(
            Kind(f"loom:adapter:{action}:{{}}", entries[Thing.PRIVATE], GONE_NUMBER, is_owner, None)
            for action in ADAPTER_DEEDS
        ),
        Kind("loom:again:{}", job, GONE_JOB, is_owner),
        Kind("loom:vary:{}", job, GONE_JOB, is_owner),
        Kind("loom:weights:{}", job, GONE_JOB, is_owner, changes=False),
        Kind("loom:cell:{}", job, GONE_JOB, is_owner, changes=False),
        Kind("loom:cancel:{}", waiting, GONE_JOB, lambda seat: seat.governs, once=True),
        Kind("loom:queue:cancel", waiting, GONE_JOB, lambda seat: seat.governs, once=True, values=("{}",)),
        Kind("loom:delete:{}", job, GONE_JOB, lambda seat: seat.governs, once=True),
        Kind("loom:page:1:n", "", "", anybody, changes=False),
        Kind("loom:open:1", job, GONE_JOB, is_owner, changes=False, values=("{}",)),
        Kind("loom:grid:draw:{}", number, GONE_QUESTION, is_owner, once=True),
        Kind("loom:grid:drop:{}", await _question(place), GONE_QUESTION, is_owner, changes=False),
        Kind("loom:replay", "", "", anybody, changes=False),
        *(Kind("loom:reviews:{}:1:o", entry_id, GONE_NUMBER, anybody, changes=False) for entry_id in entries.values()),
        Kind("loom:report:dismiss:{}", OF_ADAPTER, GONE_NUMBER, _decides, once=True, answers="moderate reports"),
        Kind("loom:report:hide:{}", OF_ADAPTER, GONE_NUMBER, _decides, once=True, answers="moderate reports"),
        Kind("loom:report:takedown:{}", OF_ADAPTER, GONE_NUMBER, runs_the_bot, once=True, answers="moderate reports"),
        Kind("loom:report:delete:{}", OF_JOB, GONE_NUMBER, _decides, once=True, answers="moderate reports"),
        Kind("loom:report:previous:{}", OF_JOB, GONE_NUMBER, _decides, changes=False, answers="moderate reports"),
        Kind("loom:report:next:{}", OF_JOB, GONE_NUMBER, _decides, changes=False, answers="moderate reports"),
        *_asked(place, entries[Thing.PRIVATE]),
        Kind("loom:audit:here:{}", GONE_NUMBER, "", _governs_here, changes=False, answers="admin audit"),
        Kind("loom:audit:everywhere:{}", GONE_NUMBER, "", _runs_here, changes=False, answers="admin audit"),
    ]


def _asked(place: Town, entry_id: str) -> Iterator[Kind]:
    """Cards that the owner was shown and has not answered: their numbers are the owner's alone, and HERE alone."""
    number = place.questions

    def may(seat: Seat) -> bool:
        return seat.person is Person.OWNER and seat.place in IN_SERVER

    def sees(seat: Seat) -> bool:
        return seat.sees(Thing.PRIVATE)

    for verb in ("prev", "next", "back"):
        yield Kind(f"loom:browse:{verb}:{{}}", number["browse"], GONE_CARD, may, None, answers="lora browse")
    for verb, value in (("show", "new"), ("family", "*"), ("tag", "*")):
        menu = f"loom:browse:{verb}:{{}}"
        yield Kind(menu, number["browse"], GONE_CARD, may, None, answers="lora browse", values=(value,))
    opened = f"loom:browse:open:{number['browse']}"
    yield Kind(opened, f"#{entry_id}", f"#{GONE_NUMBER}", sees, changes=False, values=("{}",))
    yield Kind("loom:add:no:{}", number["add"], GONE_CARD, may, once=True)
    yield Kind("loom:add:yes:{}", number["add"], GONE_CARD, may, once=True)
    yield Kind("loom:add:stop:{}", number["add"], GONE_CARD, may, changes=False)
    yield Kind("loom:add:seen:{}", number["add"], GONE_CARD, may, values=("everyone",))
    yield Kind("loom:add:named:{}", number["add which"], GONE_CARD, may, changes=False, values=("nonsense",))
    yield Kind("loom:remove:no:{}", number["remove"], GONE_CARD, may, once=True)
    yield Kind("loom:remove:yes:{}", number["remove"], GONE_CARD, may, once=True)
    yield Kind("loom:forget:keep:{}", number["forget"], GONE_CARD, may, once=True)
    yield Kind("loom:forget:removed:{}", number["forget"], GONE_CARD, may, once=True)


def _governs_here(seat: Seat) -> bool:
    return seat.rank >= Rank.ADMIN and seat.place is not Place.DIRECT


def _runs_here(seat: Seat) -> bool:
    return seat.rank is Rank.OPERATOR and seat.place is not Place.DIRECT


def _decides(seat: Seat) -> bool:
    return seat.decides


async def _question(place: Town) -> str:
    """The number of a grid that the owner was asked about."""
    options = [{"name": "prompt", "type": 3, "value": "x"}, {"name": "x", "type": 3, "value": "seed: 1-2"}]
    asked = await forgery.command(place.world.env, place.actor(OWNER), "grid", options).over()
    found = re.search(r"loom:grid:draw:([0-9a-f]{16})", place.said(asked))
    assert found is not None
    return found[1]


def _press(place: Town, kind: Kind, seat: Seat, thing: str) -> Forged:
    values = None if kind.values is None else [value.format(thing) for value in kind.values]
    actor = place.actor(seat)
    return forgery.press(place.world.env, actor, place.card_for(seat, blank=True), kind.custom_id.format(thing), values)


async def _pressed(place: Town, kind: Kind, seats: Sequence[Seat], thing: str, tally: Tally) -> dict[Seat, Forged]:
    """All of them press before the bot has answered anyone; none reads what they may not."""
    presses = {seat: _press(place, kind, seat, thing) for seat in seats}
    for seat, press in presses.items():
        said = place.said(await press.over())
        tally.read(seat, said, kind.answers, f"{kind.custom_id} by {seat}")
    place.tidy()
    tally.cells += len(presses)
    return presses


async def _nothing(place: Town, kind: Kind, seats: Sequence[Seat], thing: str, tally: Tally) -> dict[Seat, str]:
    """They press, and nothing comes of it but words; gives these."""
    before, drawn = await place.ledger.calm(), len(place.world.fleet.attempts)
    presses = await _pressed(place, kind, seats, thing, tally)
    same = await place.ledger.rows() == before and len(place.world.fleet.attempts) == drawn
    tally.expect(same, f"{kind.custom_id} of {thing}: something came of a press that nothing may come of")
    opened = [str(seat) for seat, press in presses.items() if press.record.modal and not kind.may(seat)]
    tally.expect(not opened, f"{kind.custom_id}: a form for {opened}")
    return {seat: place.sentence(press) for seat, press in presses.items()}


async def _fresh(place: Town, kind: Kind, tally: Tally) -> None:
    """By those who may not, of what there is and what there is not, which reads the same; by those who may; again."""
    told = await _nothing(place, kind, _others(kind), kind.thing, tally)
    made_up = await _nothing(place, kind, SEATS, kind.gone, tally) if kind.gone else {}
    for seat, words in told.items():
        tally.expect(words == made_up.get(seat, words), f"{kind.custom_id} by {seat}: {words!r}, {made_up.get(seat)!r}")
    used = False
    for seat in [seat for seat in SEATS if kind.may(seat)]:
        if kind.changes and kind.custom_id.startswith("loom:grid"):
            kind = Kind(**(vars(kind) | {"thing": await _question(place)}))
        before = await place.ledger.calm()
        await _pressed(place, kind, [seat], kind.thing, tally)
        changed = await place.ledger.rows() != before
        tally.expect(kind.changes in (None, changed), f"{kind.custom_id} by {seat}: changed is {changed}")
        if kind.once and not used:
            await _nothing(place, kind, SEATS, kind.thing, tally)
            used = True
        await place.ledger.calm()
        await place.ledger.restore()


async def _unknown(place: Town, kinds: Sequence[Kind], tally: Tally) -> None:
    """Kinds that are not in the list above, with an id of their form that nobody was ever given."""
    known = [kind.custom_id.format(kind.gone) for kind in kinds]
    for pattern, item in place.world.bot._connection._view_store._dynamic_items.items():
        if not any(pattern.fullmatch(custom_id) for custom_id in known):
            made_up = hypothesis.find(strategies.from_regex(pattern, fullmatch=True), lambda text: text.isascii())
            kind = Kind(made_up.replace("{", "{{"), "", "", lambda seat: True, changes=False)
            if "Select" not in str(item.__orig_bases__):  # Discord takes of a menu what is offered alone
                await _nothing(place, kind, SEATS, "", tally)


async def _forms(place: Town, tally: Tally) -> None:
    """A form that one person was shown, sent by everybody else, and then by them."""
    env, member = place.world.env, place.actor(MEMBER)
    weights = Kind("loom:weights:{}", place.job.id, "", lambda seat: seat.person is Person.OWNER)
    for seat, opened, values in (
        (OWNER, _press(place, weights, OWNER, place.job.id), {"weight-0": "0.5"}),
        (MEMBER, forgery.menu(env, member, "Report", place.card_for(MEMBER)), {"reason": ["other"], "words": "x"}),
    ):
        form: Any = (await opened.over()).record.modal
        before = await place.ledger.rows()
        for other in [other for other in SEATS if other.person is not seat.person or other.place not in IN_SERVER]:
            sent = await forgery.send_form(env, place.actor(other), form, values).over()
            tally.read(other, place.said(sent), "", f"the form {form['title']} by {other}")
            tally.expect(await place.ledger.rows() == before, f"{form['title']} of {seat}: {other} sent it")
            tally.cells += 1
        await forgery.send_form(env, place.actor(seat), form, values).over()
        tally.expect(await place.ledger.rows() != before, f"{form['title']} of {seat}: not theirs either")
        tally.cells += 1
        await place.ledger.restore()


async def press_at_once(folder: Path, times: int = 50) -> dict[str, int]:
    """How many effects so many presses at once have, by the id of what can be pressed once."""
    effects: dict[str, int] = {}
    async with town(folder) as place:
        for kind in await _kinds(place):
            if kind.once:
                seat = next(seat for seat in SEATS if kind.may(seat))
                rows = await place.ledger.rows()
                presses = [_press(place, kind, seat, kind.thing) for _ in range(times)]
                answers = [place.sentence(await press.over()) for press in presses]
                late = sum("answered or too old" in words for words in answers)
                asked = kind.thing in place.questions.values()
                effects[kind.custom_id] = times - late if asked else _effects(rows, await place.ledger.rows())
                await place.ledger.restore()
    return effects


def _effects(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Jobs that came or were changed, reports that were decided: each once in its own table."""
    return max(len(set(after[table]) - set(before[table])) for table in ("jobs", "reports", "pictures"))
