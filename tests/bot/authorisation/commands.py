"""Every command of the bot's tree, by everybody, everywhere, on everything: whatever files it comes from."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from discord import app_commands
from simcord import interactions

from tests.bot import forgery
from tests.bot.forgery import Forged
from tests.fakes import png

from .people import NAMES, SEATS, TITLES, Place, Rank, Seat, Thing
from .town import Tally, Town, town

POLICY = tomllib.loads(Path(__file__).with_name("policy.toml").read_text(encoding="utf-8"))
NEEDED = {name: Rank[rank.upper()] for name, rank in POLICY["commands"].items()}
SERVER_ONLY = frozenset(POLICY["server"]["only"])
STRICTER = frozenset(POLICY["stricter"]["than_said"])
REFUSALS = ("This is for people who may", "This is for the people who run", "This works only in a server.")
ADAPTER_OPTIONS = ("name", "lora", "adapter")
STRING, INTEGER, BOOLEAN, NUMBER, ATTACHMENT = 3, 4, 5, 10, 11

Try = Callable[[Seat], Forged]


def may(seat: Seat, name: str) -> bool:
    return seat.rank >= NEEDED[name] and not (seat.place is Place.DIRECT and name in SERVER_ONLY)


def names_of(tree: app_commands.CommandTree[Any]) -> Iterator[str]:
    """Every command, also those in groups and in the menus of messages and people."""
    for command in tree.get_commands():
        if isinstance(command, app_commands.Group):
            yield from (one.qualified_name for one in command.walk_commands() if isinstance(one, app_commands.Command))
        else:
            yield command.qualified_name


async def try_commands(folder: Path) -> Tally:
    """Each command at the top of the tree in a town of its own, so that none stands in another's way."""
    tally = Tally()
    async with town(folder / "first") as first:
        tree = first.world.bot.tree
        names = list(names_of(tree))
        menus = {name for name in names if tree.get_command(name.split(" ")[0]) is None}
    for root in dict.fromkeys(name if name in menus else name.split(" ")[0] for name in names):
        async with town(folder / root.replace(" ", "_")) as place:
            for name in names:
                if name == root or (name.startswith(f"{root} ") and name not in menus):
                    await (_Menu if name in menus else _Command)(place, name, tally).run()
            tally.quiet(place.world.env)
    return tally


class _Trial:
    """One command. Whoever may not use it, or not see what it is about, changes nothing and learns nothing."""

    def __init__(self, place: Town, name: str, tally: Tally) -> None:
        self.town = place
        self.name = name
        self.tally = tally

    async def batch(self, seats: Iterable[Seat], act: Try) -> dict[Seat, Forged]:
        """Everybody acts before the bot has answered anyone."""
        records = {seat: act(seat) for seat in seats}
        for record in records.values():
            await record.over()
        self.town.tidy()
        self.tally.cells += len(records)
        return records

    def read(self, records: Mapping[Seat, Forged], typed: Iterable[str] = ()) -> None:
        for seat, record in records.items():
            what = f"/{self.name} by {seat}"
            self.tally.read(seat, self.town.said(record), self.name, what, tuple(typed))
            self.tally.expect(record.record.responded, f"{what}: no answer")

    async def unchanged(self, what: str) -> None:
        changed = await self.town.ledger.changed()
        self.tally.expect(not changed, f"/{self.name} {what}: changed {', '.join(sorted(changed))}")
        await self.town.ledger.restore()

    def refused(self, records: Mapping[Seat, Forged]) -> None:
        for seat, record in records.items():
            said = self.town.sentence(record)
            private = all(one.flags & 64 for one in forgery.answers(self.town.world.env, record))
            self.tally.expect(said.startswith(REFUSALS), f"/{self.name} by {seat}: not refused but {said!r}")
            self.tally.expect(private, f"/{self.name} by {seat}: refused for all to see")

    def taken(self, records: Mapping[Seat, Forged]) -> None:
        for seat, record in records.items():
            said = self.town.sentence(record)
            refused = said.startswith(REFUSALS) and self.name not in STRICTER
            self.tally.expect(not refused, f"/{self.name} by {seat}: refused, {said!r}")


class _Command(_Trial):
    """A slash command: used, and typed into."""

    async def run(self) -> None:
        backend, path = self.town.world.env.backend, self.name.split(" ")
        root = backend.find_command(path[0], None, type=1)
        self.leaf, _ = interactions.walk_to_subcommand(root, path[1:])
        options = self.leaf.get("options") or []
        self.adapter = next(
            (one["name"] for one in options if one["name"] in ADAPTER_OPTIONS and one.get("autocomplete")), None
        )
        entitled = [seat for seat in SEATS if may(seat, self.name)]
        others = [seat for seat in SEATS if seat not in entitled]
        records = await self.batch(others, lambda seat: self.use(seat, Thing.EVERYONE))
        self.refused(records)
        self.read(records, typed=[NAMES[Thing.EVERYONE]])
        await self.unchanged("by those who may not")
        await (self.on_things(entitled) if self.adapter else self.on_nothing(entitled))
        for option in options:
            if option.get("autocomplete") and not option["name"][-1].isdigit():  # lora2 is as lora
                await self.typing(option["name"], entitled, others)

    async def on_nothing(self, entitled: list[Seat]) -> None:
        records = await self.batch(entitled, lambda seat: self.use(seat, Thing.MISSING))
        self.read(records)
        self.taken(records)
        await self.town.ledger.restore()

    async def on_things(self, entitled: list[Seat]) -> None:
        """For who does not see an adapter it is as one that there is not, to the letter."""
        missing = await self.batch(entitled, lambda seat: self.use(seat, Thing.MISSING))
        self.read(missing)
        await self.unchanged("on what there is not")
        for thing in (Thing.PRIVATE, Thing.GUILD, Thing.EVERYONE):
            unseen = [seat for seat in entitled if not seat.sees(thing)]
            records = await self.batch(unseen, lambda seat, thing=thing: self.use(seat, thing))  # type: ignore[misc]
            self.read(records, typed=[NAMES[thing]])
            await self.unchanged(f"on a {thing} adapter by those who do not see it")
            for seat, record in records.items():
                told = self.town.sentence(record).replace(NAMES[thing], "…")
                there = self.town.sentence(missing[seat]).replace(NAMES[Thing.MISSING], "…")
                what = f"/{self.name} by {seat}: {told!r} on a {thing} adapter, {there!r} on none"
                self.tally.expect(told == there, what)
            seeing = [seat for seat in entitled if seat.sees(thing)]
            records = await self.batch(seeing, lambda seat, thing=thing: self.use(seat, thing))  # type: ignore[misc]
            self.read(records, typed=[NAMES[thing]])
            self.taken(records)
            if self.name == "lora info":  # lest the canaries be dead
                for seat, record in records.items():
                    self.tally.expect(TITLES[thing] in self.town.said(record), f"/lora info tells {seat} nothing")
            await self.town.ledger.restore()

    async def typing(self, option: str, entitled: list[Seat], others: list[Seat]) -> None:
        """What is offered while they type; nothing to those whom the command is not for."""
        for typed in ("", "zz"):
            records = await self.batch(SEATS, lambda seat, typed=typed: self.type(seat, option, typed))  # type: ignore[misc]
            self.read(records)
            for seat in others:
                offered = records[seat].record.autocomplete_choices
                self.tally.expect(not offered, f"/{self.name} {option} offers {seat} {offered}")
        await self.unchanged(f"while {option} was typed")

    def use(self, seat: Seat, thing: Thing) -> Forged:
        env, actor = self.town.world.env, self.town.actor(seat)
        values = dict(_values(self.leaf, self.adapter, NAMES[thing]))
        member = self.town.member(seat)
        options, resolved = interactions.build_options(
            member, self.name, self.leaf, values, channel_id=actor.channel_id
        )
        return forgery.command(env, actor, self.name, options, resolved=resolved)

    def type(self, seat: Seat, option: str, typed: str) -> Forged:
        focused = {"name": option, "type": STRING, "value": typed, "focused": True}
        return forgery.typing(self.town.world.env, self.town.actor(seat), self.name, [focused])


class _Menu(_Trial):
    """A command in the menu of a message: of the owner's card, wherever it is said to be."""

    async def run(self) -> None:
        entitled = [seat for seat in SEATS if may(seat, self.name)]
        assert entitled == list(SEATS), "menus are for everybody so far"
        env = self.town.world.env
        records = await self.batch(
            SEATS, lambda seat: forgery.menu(env, self.town.actor(seat), self.name, self.town.card_for(seat))
        )
        self.read(records)
        self.taken(records)
        await self.unchanged("of a message")
        if self.name == "Report":
            for seat, record in records.items():
                opens = seat.place in (Place.HERE, Place.ADULT) and seat.person != "owner"
                self.tally.expect(
                    (record.record.modal is not None) == opens, f"Report by {seat}: form {record.record.modal}"
                )


def _values(leaf: Mapping[str, Any], adapter: str | None, name: str) -> Iterator[tuple[str, Any]]:
    """Something for every option that must be said, and the adapter's name for the one that is of an adapter."""
    for option in leaf.get("options") or []:
        if option["name"] == adapter:
            yield adapter, name
        elif option.get("required"):
            yield option["name"], _value(option)


def _value(option: Mapping[str, Any]) -> Any:
    if option.get("choices"):
        return option["choices"][0]["value"]
    if option["type"] == ATTACHMENT:
        return "picture.png", png()
    simple = {
        STRING: "x".ljust(option.get("min_length", 1), "x"),
        INTEGER: max(1, option.get("min_value", 1)),
        BOOLEAN: False,
        NUMBER: max(1.0, option.get("min_value", 1.0)),
    }
    return POLICY["options"].get(option["name"], simple[option["type"]])
