"""Every use-case that a command or a button leads to, called as if nobody had checked anything before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.importing import ImportRefused
from bot.orders import Barred, CellUnknown, ContentRefused, Forbidden, JobUnknown, Order, ReportUnknown, TooLate, Who
from bot.orders.errors import ShelfFull
from bot.orders.verdicts import Outcome, Reason
from engine import AdapterNotFound, AdapterUse, Request, read_infotext
from tests.fakes import order, press

from .people import NAMES, SEATS, TITLES, Person, Place, Rank, Seat, Thing
from .town import Tally, Town, town

_TITLES = {**TITLES, Thing.MISSING: "canarynone"}
ADAPTERS = (Thing.PRIVATE, Thing.GUILD, Thing.EVERYONE, Thing.MISSING)
THERE = (Thing.EVERYONE, Thing.MISSING)  # of a job or a report: the one there is, and one that there is not
OF_ADAPTER, OF_JOB, NONE = 1, 2, 999  # the reports of the town, and one that there is not
_MISSING = (AdapterNotFound, JobUnknown, ReportUnknown, TooLate)
_REFUSED = (Barred, CellUnknown, ContentRefused, ImportRefused, ShelfFull)

NO, YES, PERHAPS = "no", "yes", "perhaps"  # whether something changes

Act = Callable[[Town, Who, Thing], Awaitable[object]]


@dataclass(frozen=True)
class Case:
    """A use-case and whom it is for: those of `needs`, for whom the thing exists, but not its owner where `not_own`.

    `command` is what it answers, `server` whether it means something in servers alone, `typed` what says which thing.
    `own`: for its owner alone, while others may know of it. `comes_to`: what it comes to, in place of all this.
    """

    name: str
    act: Act
    needs: Rank = Rank.MEMBER
    things: tuple[Thing, ...] = ADAPTERS
    exists: Callable[[Seat, Thing], bool] = Seat.sees
    not_own: bool = False
    own: bool = False
    comes_to: Callable[[Seat, Thing], str] | None = None
    changes: str = NO
    server: bool = False
    command: str = ""
    before: Act | None = None  # makes what there is to act upon
    typed: Mapping[Thing, str] = field(default_factory=lambda: NAMES)

    def expected(self, seat: Seat, thing: Thing) -> str:
        if self.comes_to is not None:
            return self.comes_to(seat, thing)
        if seat.rank < self.needs or (self.server and seat.place is Place.DIRECT):
            return "forbidden"
        if not self.exists(seat, thing):
            return "missing"
        is_owner = seat.person is Person.OWNER
        return "forbidden" if (self.not_own and is_owner) or (self.own and not is_owner) else "done"


async def try_use_cases(folder: Path, cases: Iterable[Case]) -> Tally:
    """Each use-case on each thing by everybody everywhere."""
    tally = Tally()
    async with town(folder) as place:
        for case in cases:
            await _try(place, case, tally)
    return tally


async def _try(place: Town, case: Case, tally: Tally) -> None:
    told: dict[Seat, str] = {}
    for thing in sorted(case.things, key=lambda thing: thing is not Thing.MISSING):
        allowed = [seat for seat in SEATS if case.expected(seat, thing) == "done"]
        await _refused(place, case, thing, [seat for seat in SEATS if seat not in allowed], tally, told)
        await _allowed(place, case, thing, allowed, tally)


async def _allowed(place: Town, case: Case, thing: Thing, seats: list[Seat], tally: Tally) -> None:
    for seat in seats:
        if case.before is not None:
            await case.before(place, place.who(seat), thing)
        before = await place.ledger.rows()
        outcome, said = await _outcome(place, case, seat, thing)
        what = f"{case.name} of {thing} by {seat}"
        tally.cells += 1
        tally.expect(outcome == "done", f"{what}: {outcome}, {said}")
        tally.read(seat, said, case.command, what, [NAMES[thing], case.typed[thing]])
        if case.changes == YES:
            tally.expect(await place.ledger.rows() != before, f"{what}: done, and nothing changed")
        if case.changes != NO or case.before is not None:
            await place.ledger.restore()
    tally.expect(not await place.ledger.changed(), f"{case.name} of {thing}: changed something")
    await place.ledger.restore()


async def _refused(
    place: Town, case: Case, thing: Thing, seats: list[Seat], tally: Tally, told: dict[Seat, str]
) -> None:
    """Nothing changes, and what is not theirs to know of reads as what there is not."""
    for seat in seats:
        outcome, said = await _outcome(place, case, seat, thing)
        what = f"{case.name} of {thing} by {seat}"
        tally.cells += 1
        tally.expect(outcome == case.expected(seat, thing), f"{what}: {outcome}, {said}")
        tally.read(seat, said, case.command, what, [NAMES[thing], case.typed[thing]])
        words = "".join("#" if c.isdigit() else c for c in said.replace(case.typed[thing], "…"))
        if thing is Thing.MISSING:
            told[seat] = words
        elif outcome == "missing":
            tally.expect(words == told[seat], f"{what}: {words!r}, of what there is not {told[seat]!r}")
    changed = await place.ledger.changed()
    tally.expect(not changed, f"{case.name} of {thing} by those who may not: changed {changed}")
    await place.ledger.restore()


async def _outcome(place: Town, case: Case, seat: Seat, thing: Thing) -> tuple[str, str]:
    try:
        return "done", repr(await case.act(place, place.who(seat), thing))
    except Forbidden as error:
        return "forbidden", str(error)
    except _MISSING as error:
        return "missing", str(error)
    except _REFUSED as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001  whatever else it is, it is told
        return repr(error), str(error)


def _is_owners(seat: Seat, thing: Thing) -> bool:
    return seat.person is Person.OWNER and thing is not Thing.MISSING


def _governed(seat: Seat, thing: Thing) -> bool:
    return seat.governs and thing is not Thing.MISSING


def _decided(seat: Seat, thing: Thing) -> bool:
    return seat.decides and thing is not Thing.MISSING


def _beside_it(seat: Seat, thing: Thing) -> bool:
    """Whether they are where the job's card is, or it is their own."""
    is_there = seat.place in (Place.HERE, Place.ADULT) or seat.person is Person.OWNER
    return is_there and thing is not Thing.MISSING


def _always(seat: Seat, thing: Thing) -> bool:
    return True


def _request(thing: Thing) -> Request:
    return Request(prompt="x", adapters=(AdapterUse(NAMES[thing]),))


def _order(who: Who, thing: Thing) -> Order:
    return replace(order(by=who), request=_request(thing))


def _job(town: Town, thing: Thing) -> str:
    return "nosuchjob" if thing is Thing.MISSING else town.job.id


def _report(number: int, thing: Thing) -> int:
    return NONE if thing is Thing.MISSING else number


async def _cancel(town: Town, who: Who, thing: Thing) -> object:
    job_id = town.waiting if thing is not Thing.MISSING else "nosuchjob"
    return await town.world.bot.orders.cancel(job_id, who)


async def _reading(town: Town, who: Who, thing: Thing) -> object:
    said = f"x <lora:{NAMES[thing]}:1>\nSteps: 5, Seed: 1, Size: 128x128"
    return await town.world.bot.orders.replay(read_infotext(said), who, [], [])


async def _reviews(town: Town, who: Who, thing: Thing) -> object:
    owner = town.who(Seat(Person.OWNER, Place.HERE))
    entry = await town.store.catalog.find(owner, NAMES[thing])
    return await town.world.bot.judging.reviews(who, NONE if entry is None else entry.id)


async def _notice(town: Town, who: Who, thing: Thing) -> object:
    entry = await town.store.catalog.find(who, NAMES[thing])
    assert entry is not None
    return await town.world.bot.moderation.notice(who, entry)


def _banned(everywhere: bool) -> Act:
    async def ban(town: Town, who: Who, thing: Thing) -> None:
        """The adapter is banned where `who` acts, or everywhere."""
        where = 0 if everywhere else who.guild_id
        await town.store.judging.ban(["ab" * 32], where, NAMES[thing], "so")  # type: ignore[arg-type]

    return ban


async def _quarantined(town: Town, who: Who, thing: Thing) -> None:
    entry = await town.store.catalog.find(who, NAMES[thing])
    assert entry is not None
    await town.store.judging.quarantine(entry.info.sha256, "so")


def _decisions() -> Iterator[Case]:
    for number, outcome, needs in (
        (OF_ADAPTER, Outcome.DISMISSED, Rank.MODERATOR),
        (OF_ADAPTER, Outcome.HIDDEN, Rank.MODERATOR),
        (OF_ADAPTER, Outcome.TAKEN_DOWN, Rank.OPERATOR),
        (OF_JOB, Outcome.DISMISSED, Rank.MODERATOR),
        (OF_JOB, Outcome.DELETED, Rank.MODERATOR),
    ):
        yield Case(
            f"moderation.decide {outcome} {number}",
            lambda t, w, n, number=number, outcome=outcome: (  # type: ignore[misc]
                t.world.bot.moderation.decide(w, _report(number, n), outcome)
            ),
            needs=needs,
            things=THERE,
            exists=_decided,
            changes=YES,
            command="decide",
        )


def _bans() -> Iterator[Case]:
    acts: dict[str, tuple[Rank, Callable[..., Act]]] = {
        "takedown": (
            Rank.MODERATOR,
            lambda e: lambda t, w, n: t.world.bot.moderation.takedown(w, NAMES[n], "x", everywhere=e),
        ),
        "ban": (Rank.ADMIN, lambda e: lambda t, w, n: t.world.bot.moderation.ban(w, NAMES[n], "x", e)),
    }
    lifts: dict[str, tuple[Rank, Callable[..., Act]]] = {
        "restore": (
            Rank.MODERATOR,
            lambda e: lambda t, w, n: t.world.bot.moderation.restore(w, NAMES[n], everywhere=e),
        ),
        "unban": (Rank.ADMIN, lambda e: lambda t, w, n: t.world.bot.moderation.unban(w, NAMES[n], e)),
    }
    for everywhere in (False, True):
        where = "everywhere" if everywhere else "here"
        for name, (rank, act) in acts.items():
            needs = Rank.OPERATOR if everywhere else rank
            yield Case(f"moderation.{name} {where}", act(everywhere), needs=needs, changes=YES, server=not everywhere)
        for name, (rank, act) in lifts.items():
            yield Case(
                f"moderation.{name} {where}",
                act(everywhere),
                needs=Rank.OPERATOR if everywhere else rank,
                things=THERE,
                exists=lambda seat, thing: thing is not Thing.MISSING,
                changes=YES,
                server=not everywhere,
                before=_banned(everywhere),
            )


CASES = (
    Case("orders.adapter", lambda t, w, n: t.world.bot.orders.adapter(w, NAMES[n])),
    Case("orders.adapter title", lambda t, w, n: t.world.bot.orders.adapter(w, _TITLES[n]), typed=_TITLES),
    Case("orders.adapters", lambda t, w, n: t.world.bot.orders.adapters(w, NAMES[n][:2]), exists=_always),
    Case("orders.imagine", lambda t, w, n: t.world.bot.orders.imagine(_order(w, n)), changes=YES),
    Case("orders.price", lambda t, w, n: t.world.bot.orders.price(_request(n), w)),
    Case("orders.replay", _reading, exists=_always),
    Case("orders.history", lambda t, w, n: t.world.bot.orders.history(w), exists=_always, things=THERE[:1]),
    Case("orders.queue", lambda t, w, n: t.world.bot.orders.queue(w), exists=_always, things=THERE[:1]),
    Case(
        "orders.open_job", lambda t, w, n: t.world.bot.orders.open_job(_job(t, n), w), things=THERE, exists=_is_owners
    ),
    Case(
        "orders.again",
        lambda t, w, n: t.world.bot.orders.again(_job(t, n), press(by=w)),
        things=THERE,
        exists=_is_owners,
        changes=YES,
    ),
    Case(
        "orders.delete",
        lambda t, w, n: t.world.bot.orders.delete(_job(t, n), w),
        things=THERE,
        exists=_governed,
        changes=YES,
        command="Report",
    ),
    Case("orders.cancel", _cancel, things=THERE, exists=_governed, changes=YES, command="Report"),
    Case("judging.rate", lambda t, w, n: t.world.bot.judging.rate(w, NAMES[n], 5, "x"), not_own=True, changes=YES),
    Case("judging.unrate", lambda t, w, n: t.world.bot.judging.unrate(w, NAMES[n]), not_own=False),
    Case("judging.reviews", _reviews, exists=_always),
    Case("judging.pictures", lambda t, w, n: t.world.bot.judging.pictures(w, NAMES[n])),
    Case(
        "judging.report",
        lambda t, w, n: t.world.bot.judging.report(w, NAMES[n], Reason.OTHER, "x"),
        not_own=True,
        changes=PERHAPS,
        command="moderate reports",
    ),
    Case(
        "judging.reportable",
        lambda t, w, n: t.world.bot.judging.reportable(w, _job(t, n)),
        things=THERE,
        exists=_beside_it,
        not_own=True,
        command="Report",
    ),
    Case(
        "judging.report_job",
        lambda t, w, n: t.world.bot.judging.report_job(w, _job(t, n), Reason.OTHER, "x"),
        things=THERE,
        exists=_beside_it,
        not_own=True,
        changes=PERHAPS,
        command="moderate reports",
    ),
    Case(
        "moderation.reports",
        lambda t, w, n: t.world.bot.moderation.reports(w),
        needs=Rank.MODERATOR,
        things=THERE[:1],
        exists=_always,
        command="moderate reports",
    ),
    *_decisions(),
    *_bans(),
    Case(
        "moderation.bans",
        lambda t, w, n: t.world.bot.moderation.bans(w),
        needs=Rank.MODERATOR,
        things=THERE[:1],
        exists=_always,
    ),
    Case("moderation.notice", _notice, things=THERE[:1], exists=_always),
    Case(
        "moderation.quarantine",
        lambda t, w, n: t.world.bot.moderation.quarantine(w, NAMES[n], "x"),
        needs=Rank.OPERATOR,
        changes=YES,
    ),
    Case(
        "moderation.release",
        lambda t, w, n: t.world.bot.moderation.release(w, NAMES[n]),
        needs=Rank.OPERATOR,
        changes=YES,
        before=_quarantined,
    ),
)
