"""Two servers with the real bot in them, the people of the matrix, and things of the owner's to get at."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import discord
import simcord
from simcord.backend import serializers

from bot.client import Bot
from bot.jobs import Runner
from bot.orders import Job, Show, Who, Wish
from bot.orders.additions import Offer
from bot.orders.values import CatalogEntry
from bot.orders.verdicts import Reason
from bot.store import Store
from tests.bot import forgery
from tests.bot.worlds import World, world
from tests.fakes import adapter_file, order, until

from .people import CANARIES, NAMES, PROMPT, SPECIAL, TITLES, WORDS, Person, Place, Rank, Seat, Thing, may_read

BROKEN = "something broke on my side"
PATIENCE = 30.0  # seconds for which a lock may be kept


@dataclass
class Tally:
    """What was tried, and what went wrong, in words."""

    cells: int = 0
    leaks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.cells += other.cells
        self.leaks += other.leaks
        self.faults += other.faults

    def quiet(self, env: simcord.Env) -> None:
        """Nothing that was sent could mention anybody else."""
        self.faults += loud(env)

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.faults.append(what)

    def read(self, seat: Seat, said: str, command: str, what: str, typed: Iterable[str] = ()) -> None:
        """Counts as a leak every canary in `said` that this person may not read and did not type themselves."""
        self.leaks += [
            f"{what}: {canary}"
            for canary in CANARIES
            if canary in said and canary not in typed and not may_read(seat, canary, command)
        ]
        self.expect(BROKEN not in said, f"{what}: an error that nobody foresaw")


def loud(env: simcord.Env) -> list[str]:
    """What the bot sent that could mention anybody but the one whom it is for."""
    found = []
    for request in env.http_requests:
        body = request.json if isinstance(request.json, dict) else {}
        message = body.get("data") if "type" in body and isinstance(body.get("data"), dict) else body
        if {"content", "components", "embeds"} & message.keys() and "custom_id" not in message:
            mentions = message.get("allowed_mentions") or {"parse": "everything"}
            named = [*mentions.get("roles", []), *mentions.get("users", [])]
            if mentions["parse"] != [] or len(named) > 1:
                found.append(f"{request.method} {request.path.split('/')[1]}: {mentions}")
    return found


class Ledger:
    """What the store holds, as rows: whether anything changed, and the way back."""

    def __init__(self, data: Path, store: Store, runner: Runner) -> None:
        self._data = data
        self._runner = runner
        self._database = store.connections
        self._settings = store.settings
        self._file = data / "loraloom.db"
        self._copy = sqlite3.connect(":memory:", check_same_thread=False)
        with closing(sqlite3.connect(self._file)) as live:
            live.backup(self._copy)
            found = live.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        self._tables = [name for (name,) in found if name != "alembic_version" and not name.startswith("sqlite_")]
        self._files = {path: path.read_bytes() for path in self._kept()}
        self._start = self._read()

    async def changed(self) -> set[str]:
        """The tables that are not as they were, and "files" where one is gone or new."""
        now = await self.rows()
        return {name for name in now if now[name] != self._start[name]}

    async def rows(self) -> dict[str, object]:
        return await asyncio.to_thread(self._read)  # in a thread, for the bot may be writing

    async def calm(self) -> dict[str, object]:
        """The rows, once nothing goes on any more that was begun before."""
        await until(lambda: self._runner.busy == 0, seconds=10.0)
        rows = await self.rows()
        while rows != (rows := await self._later()):
            pass
        return rows

    async def _later(self) -> dict[str, object]:
        await asyncio.sleep(0.02)
        return await self.rows()

    async def restore(self) -> None:
        """Everything is as it was."""
        if await self.changed():
            await self.calm()  # or what was begun would be written down afterwards, and be blamed on the next
            await asyncio.to_thread(self._restore)
            self._settings._known = None  # what was chosen is in memory too
            async with self._database.write():  # what is kept in memory of the database is read anew after a commit
                pass

    def _restore(self) -> None:
        begun = time.monotonic()

        def still_waiting(*_: int) -> None:
            assert time.monotonic() - begun < PATIENCE, "somebody keeps a lock on the database"

        with closing(sqlite3.connect(self._file)) as live:
            self._copy.backup(live, sleep=0.005, progress=still_waiting)
        for path in self._kept() - self._files.keys():
            path.unlink()
        for path, data in self._files.items():
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)

    def close(self) -> None:
        self._copy.close()

    def _kept(self) -> set[Path]:
        kept = {path for folder in ("pictures", "previews", "adapters") for path in (self._data / folder).rglob("*.*")}
        return kept | set(self._data.glob("forgotten.txt"))

    def _read(self) -> dict[str, object]:
        with closing(sqlite3.connect(self._file)) as live:
            rows: dict[str, object] = {name: live.execute(f"SELECT * FROM {name}").fetchall() for name in self._tables}
        return rows | {"files": self._kept()}


@dataclass
class Town:
    """`members` are the people in each server they are in, `job` is the owner's, its `card` stands in HERE.

    `questions` are the numbers of what the owner was asked there and has not answered, by kind.
    """

    world: World
    members: dict[tuple[Person, bool], simcord.MemberActor]  # by whether it is HERE
    channels: dict[Place, simcord.ChannelHandle]
    ledger: Ledger
    job: Job
    waiting: str  # the id of another of the owner's jobs, which has not been drawn
    card: Any
    questions: dict[str, str]

    @property
    def store(self) -> Store:
        return self.world.bot.orders._store

    def member(self, seat: Seat) -> simcord.MemberActor:
        here = seat.place in (Place.HERE, Place.ADULT)
        return self.members.get((seat.person, here)) or self.members[seat.person, not here]

    def actor(self, seat: Seat) -> forgery.Actor:
        member = self.member(seat)
        if seat.place is Place.DIRECT:
            return forgery.Actor(member.id, member.user.dm_channel.id, None)
        return forgery.Actor(member.id, self.channels[seat.place].id, member.guild.id, seat.place is Place.ADULT)

    def who(self, seat: Seat) -> Who:
        """As the Discord side would say it: `bot.views.asking` is tried with the commands."""
        actor = self.actor(seat)
        in_server = actor.guild_id is not None
        return Who(
            actor.user_id,
            seat.person,
            actor.guild_id,
            actor.channel_id,
            moderator=in_server and seat.rank is Rank.MODERATOR,
            admin=in_server and seat.rank is Rank.ADMIN,
            owner=seat.rank is Rank.OPERATOR,
            adult=actor.adult,
        )

    def card_for(self, seat: Seat, *, blank: bool = False) -> Any:
        """The card once more, as a message of its own where this person is, so that what becomes of it is theirs;
        `blank` without what it says.
        """
        backend, channel_id = self.world.env.backend, self.actor(seat).channel_id
        message = copy.deepcopy(self.card)
        message.id, message.channel_id = backend.snowflake(), channel_id
        if blank:
            message.components, message.attachments = [], []
        backend.messages[channel_id][message.id] = message
        return message

    def tidy(self) -> None:
        """SimCord keeps what it knows of timers that were cancelled, in a list, until it settles: that takes long."""
        work = self.world.env._work
        work.callbacks = [one for one in work.callbacks if one.handle is None or not one.handle.cancelled()]

    def said(self, to: forgery.Forged) -> str:
        """Everything that the answer to an interaction gives to read: messages, forms, what is offered."""
        env = self.world.env
        messages = [serializers.message_payload(env.backend, one) for one in forgery.answers(env, to)]
        parts = [{key: one.get(key) for key in ("content", "components", "embeds", "attachments")} for one in messages]
        return json.dumps([parts, to.record.modal, to.record.autocomplete_choices], ensure_ascii=False, default=str)

    def sentence(self, to: forgery.Forged) -> str:
        """The words of the last answer, without numbers: what two answers are compared by."""
        found = forgery.answers(self.world.env, to)
        return re.sub(r"\d+", "#", found[-1].content) if found else ""


@asynccontextmanager
async def town(data: Path) -> AsyncIterator[Town]:
    """A town in which nothing has happened but what the owner made and a member reported."""
    async with world(data) as w:
        here, there = w.alice.guild, w.env.create_guild("Elsewhere")
        elsewhere, adult = there.create_text_channel("other"), here.create_text_channel("adult")
        admins = discord.Permissions(manage_guild=True)
        moderators = discord.Permissions(manage_messages=True)
        people = {Person.OWNER: w.alice, Person.MEMBER: w.bob, Person.MODERATOR: w.molly}
        users = {person: member.user for person, member in people.items()}
        members = {(person, True): member for person, member in people.items()}
        roles = {
            (Person.ADMIN, True): here.create_role("admins", permissions=admins),
            (Person.THEIR_MODERATOR, False): there.create_role("moderators", permissions=moderators),
            (Person.THEIR_ADMIN, False): there.create_role("admins", permissions=admins),
        }
        for person in Person:
            user = users.get(person) or w.env.create_user(person)
            for guild, is_here in ((here, True), (there, False)):
                if (person, is_here) in members or (person is Person.STRANGER and is_here):
                    continue
                role = roles.get((person, is_here))
                members[person, is_here] = guild.add_member(user, roles=[role] if role else [])
        w.bot.owners = frozenset({members[Person.OPERATOR, True].id})
        await w.env.settle()
        channels = {Place.HERE: w.channel, Place.ADULT: adult, Place.ELSEWHERE: elsewhere}
        store, guild_id, entries = w.bot.orders._store, here.id, {}
        for thing, title in TITLES.items():
            apart = list(Thing).index(thing) if thing in SPECIAL else 1  # so that a ban of one is none of another
            path = adapter_file(data / f"{title}.safetensors", text=title, value=apart)
            visibility = "everyone" if thing in SPECIAL else thing.value
            entries[thing] = await store.catalog.add(
                path, NAMES[thing], visibility=visibility, owner_id=w.alice.id, guild_id=guild_id
            )
        job = await w.drawn(PROMPT, lora=NAMES[Thing.EVERYONE])
        reporter = Who(9001, "somebody", guild_id, w.channel.id)
        await store.judging.report(reporter, entries[Thing.EVERYONE], Reason.STOLEN, WORDS, most=10)
        await store.judging.report(reporter, job.id, Reason.HATE, WORDS, most=10)
        card = copy.deepcopy(w.env.backend.get_message(w.channel.id, w.channel.last_message.id))
        owner = Who(w.alice.id, "owner", guild_id, w.channel.id)
        await _set_apart(store, owner, entries)
        waiting = await store.jobs.record(order(PROMPT, by=owner))
        questions = await _asked(w.bot, owner)
        ledger = Ledger(data, store, w.bot.runner)
        try:
            yield Town(w, members, channels, ledger, await w.job(job.id), waiting.id, card, questions)
        finally:
            ledger.close()


async def _set_apart(store: Store, owner: Who, entries: dict[Thing, CatalogEntry]) -> None:
    """Four of the adapters are what they are called."""
    await store.entries.edit(owner, entries[Thing.MATURE].id, {"nsfw": True})
    await store.entries.edit(owner, entries[Thing.PERSON].id, {"real_person": True})
    info = entries[Thing.BANNED].info
    assert owner.guild_id is not None
    await store.judging.ban([info.sha256, info.tensor_sha256], owner.guild_id, NAMES[Thing.BANNED], "so")
    await store.judging.quarantine(entries[Thing.QUARANTINED].info.sha256, "so", by_hand=True)


async def _asked(bot: Bot, owner: Who) -> dict[str, str]:
    """One open question of each kind, by its kind."""
    offer = Offer(source="nonsense", proposed="nonsense")
    return {
        "add": await bot.intake.ask(owner, offer),
        "add which": await bot.intake.ask_which(owner, {"nonsense": "x"}, "private"),
        "browse": (await bot.shelf.browse(owner, Wish(show=Show.MINE)))[0],
        "drop": await bot.intake.invite(owner),
        "forget": (await bot.privacy.ask(owner))[0],
        "remove": (await bot.shelf.ask_removal(owner, NAMES[Thing.PRIVATE]))[0],
    }
