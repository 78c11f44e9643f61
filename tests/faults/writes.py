"""Every way to write into the store: what is made ready, and the one call that writes."""

from __future__ import annotations

import inspect
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, update

from bot.importing import PreviewPicture, Provenance, Removed
from bot.orders import Job, Shared, Who
from bot.orders.additions import Addition
from bot.orders.settings import NOTHING, Settings
from bot.orders.values import CatalogEntry
from bot.orders.verdicts import Outcome, Reason
from bot.store import Store
from bot.store.models import EntryRow, JobRow
from engine import builtin_adapter, inspect_adapter
from tests.fakes import GUILD, adapter_file, order, result, who

Act = Callable[[], Awaitable[object]]
Ready = Callable[[], Awaitable[Act]]

IN_STEPS = {
    "people.forget": "several transactions, the rest of which comes at the next try or start: see test_deletion",
    "drawings.renew": "the old pictures, then the new ones: a start that was cut short is made good by the next",
}
FILES_LATER = {
    "catalog.add": "the database alone knows whether others use the file: where it does not answer, a start looks",
    "catalog.sweep": "rows first, then files",
    "entries.remove": "the entry is gone, and its file at the next start",
    "intake.keep": "as catalog.add",
}
NOT_TRIED = {
    "people.catch_up": "a start does it, as people.forget",
    "audit.note": "within the transaction of what it notes",
    "audit.forget": "within the transaction of people.forget",
}
WEBP = PreviewPicture(b"RIFF", 8, 8, False, "")
_numbers = itertools.count(random.randrange(10_000, 1 << 23))  # of none that an earlier process has made


def untried(store: Store, acts: dict[str, Ready]) -> set[str]:
    """Methods of the store that write, as their source says, and that neither `acts` nor a reason above names."""
    found = set()
    for field in fields(store):
        kind = type(getattr(store, field.name))
        if kind.__module__.startswith("bot."):
            found |= {f"{field.name}.{name}" for name in _writing(kind)}
    return found - acts.keys() - NOT_TRIED.keys()


def _writing(kind: type) -> set[str]:
    sources = {name: inspect.getsource(method) for name, method in inspect.getmembers(kind, inspect.isfunction)}
    writing = {name for name, text in sources.items() if ".write()" in text}
    while more := {n for n, text in sources.items() if any(f"self.{one}(" in text for one in writing)} - writing:
        writing |= more
    within = {name for name, text in sources.items() if "session: AsyncSession" in text}  # of somebody's transaction
    return {name for name in writing | within if not name.startswith("_")}


async def ways(store: Store, folder: Path) -> dict[str, Ready]:
    """Each by the name of its method; `folder` is for the files that are added."""
    return _Jobs(store).acts() | _Catalog(store, folder).acts() | _Rest(store).acts()


def then(make: Callable[[], Awaitable[Any]], call: Callable[[Any], Awaitable[object]]) -> Ready:
    async def ready() -> Act:
        made = await make()
        return lambda: call(made)

    return ready


def at_once(call: Act) -> Ready:
    async def ready() -> Act:
        return call

    return ready


class _Jobs:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs = store.jobs

    def acts(self) -> dict[str, Ready]:
        jobs, recorded, running, rendered = self._jobs, self.recorded, self.running, self.rendered
        return {
            "jobs.record": then(self.ordered, lambda fresh: jobs.record(fresh, charge=1.0, entry_ids={1})),
            "jobs.acked": then(recorded, lambda job: jobs.acked(job.id, 1, 2)),
            "jobs.unanswered": then(recorded, lambda job: jobs.unanswered(job.id)),
            "jobs.queue": then(recorded, lambda job: jobs.queue(job.id)),
            "jobs.start": then(self.queued, lambda job: jobs.start(job.id)),
            "jobs.requeue": then(running, lambda job: jobs.requeue(job.id, job.attempt, lost=True)),
            "jobs.rendered": then(running, lambda job: jobs.rendered(job, result(job.request))),
            "jobs.posting": then(rendered, lambda job: jobs.posting(job.id)),
            "jobs.posted": then(self.posting, lambda job: jobs.posted(job.id, 1, 2)),
            "jobs.failed": then(running, lambda job: jobs.failed(job.id, job.attempt, "No.")),
            "jobs.cancelled": then(running, lambda job: jobs.cancelled(job.id, "Cancelled.")),
            "jobs.dead": then(rendered, lambda job: jobs.dead(job.id, "No.")),
            "jobs.withheld": then(rendered, lambda job: jobs.withheld(job.id, "Not here.")),
            "jobs.told": then(rendered, lambda job: jobs.told(job.id)),
            "jobs.erase": then(rendered, lambda job: jobs.erase(job.id)),
            "jobs.prune": then(self.finished, lambda job: jobs.prune(timedelta(days=30))),
        }

    async def ordered(self, **more: object) -> Any:
        return order(count=2, by=who(next(_numbers)), **more)

    async def recorded(self, **more: object) -> Job:
        return await self._jobs.record(await self.ordered(**more), charge=3.0)

    async def queued(self) -> Job:
        job = await self.recorded()
        await self._jobs.queue(job.id)
        return job

    async def running(self, **more: object) -> Job:
        job = await self.recorded(**more)
        await self._jobs.queue(job.id)
        started = await self._jobs.start(job.id)
        assert started is not None
        return started

    async def rendered(self) -> Job:
        job = await self.running()
        await self._jobs.rendered(job, result(job.request))
        return job

    async def posting(self) -> Job:
        job = await self.rendered()
        await self._jobs.posting(job.id)
        return job

    async def finished(self) -> Job:
        """A job of a year ago with a start picture, which is kept for as long as its results."""
        job = await self.running(image=b"a picture")
        await self._jobs.failed(job.id, None, "No.")
        async with self._store.connections.write() as session:
            long_ago = datetime.now(UTC) - timedelta(days=365)
            await session.execute(update(JobRow).where(JobRow.id == job.id).values(finished_at=long_ago))
        return job


class _Catalog:
    """Entries, their pictures, and what is said of them."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def acts(self) -> dict[str, Ready]:
        catalog, entries, drawings = self._store.catalog, self._store.entries, self._store.drawings
        judging, own, offered = self._store.judging, self.own, self.offered
        return {
            "catalog.add": then(self.file, lambda path: catalog.add(path, path.stem, visibility="everyone")),
            "catalog.sweep": then(self.left_alone, lambda _: catalog.sweep()),
            "entries.edit": then(own, lambda e: entries.edit(_owner(e), e.id, {"tags": ("a", "b"), "weight": 0.5})),
            "entries.move": then(own, lambda e: entries.move(_owner(e), e.id, "guild")),
            "entries.fork": then(offered, lambda e: entries.fork(who(), e.id, f"fork{next(_numbers)}")),
            "entries.keep": then(offered, lambda e: entries.keep(who(), e.id)),
            "entries.let_go": then(self.favoured, lambda e: entries.let_go(who(), e.id)),
            "entries.remove": then(self.kept, lambda e: entries.remove(_owner(e), e.id)),
            "intake.keep": then(
                self.addition, lambda a: self._store.intake.keep(a[0], a[1], who(), owner_id=who().member_id)
            ),
            "origins.note": then(self.kept, lambda e: self._store.origins.note(e.id, Removed("gone"))),
            "drawings.keep": then(own, lambda e: drawings.keep(e.id, [WEBP])),
            "drawings.forget": then(self.drawn, lambda e: drawings.forget(e.id)),
            "drawings.renew": then(self.drawn, lambda e: drawings.renew(e.id, [WEBP, WEBP])),
            "judging.rate": then(offered, lambda e: judging.rate(who(), e.id, 4, "fine", WEBP)),
            "judging.unrate": then(self.rated, lambda e: judging.unrate(who(), e.id)),
            "judging.report": then(offered, lambda e: judging.report(who(), e, Reason.OTHER, "x", most=10**6)),
            "judging.decide": then(self.reported, lambda r: judging.decide(who(moderator=True), r, Outcome.HIDDEN)),
        }

    async def file(self) -> Path:
        number = next(_numbers)
        return adapter_file(self._folder / f"lora{number}.safetensors", text=str(number), value=number / (1 << 24))

    async def left_alone(self) -> None:
        """A file that no entry shows."""
        entry = await self._store.catalog.add(await self.file(), f"x{next(_numbers)}", visibility="everyone")
        async with self._store.connections.write() as session:
            await session.execute(delete(EntryRow).where(EntryRow.id == entry.id))

    async def own(self) -> CatalogEntry:
        """A private entry, of somebody who has no other."""
        name, ink = f"own{next(_numbers)}", builtin_adapter("ink")
        return await self._store.catalog.add(ink, name, visibility="private", owner_id=next(_numbers))

    async def offered(self) -> CatalogEntry:
        """Somebody else's entry that all may use."""
        name, ink = f"offered{next(_numbers)}", builtin_adapter("ink")
        return await self._store.catalog.add(ink, name, visibility="everyone", owner_id=next(_numbers))

    async def addition(self) -> tuple[Path, Addition]:
        path = await self.file()
        info = inspect_adapter(path)
        about = {"origin": "upload", "source": "", "page": "", "file_name": path.name, "fetched_at": "2026-01-01"}
        origin = Provenance(sha256=info.sha256, **about)
        return path, Addition(
            info=info, provenance=origin, visibility="private", proposed=path.stem, previews=(WEBP,), tags=("x",)
        )

    async def kept(self) -> CatalogEntry:
        """An entry with a file, an origin and a sample of its own."""
        path, addition = await self.addition()
        owner = who(next(_numbers))
        return (await self._store.intake.keep(path, addition, owner, owner_id=owner.member_id)).entry

    async def favoured(self) -> CatalogEntry:
        entry = await self.offered()
        await self._store.entries.keep(who(), entry.id)
        return entry

    async def drawn(self) -> CatalogEntry:
        entry = await self.own()
        await self._store.drawings.keep(entry.id, [WEBP])
        return entry

    async def rated(self) -> CatalogEntry:
        entry = await self.offered()
        await self._store.judging.rate(who(), entry.id, 4, "fine", WEBP)
        return entry

    async def reported(self) -> Any:
        entry = await self.offered()
        report, _ = await self._store.judging.report(who(next(_numbers)), entry, Reason.OTHER, "x", most=9)
        return report


class _Rest:
    """Bans, people, settings, and what is remembered beside."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sha256 = inspect_adapter(builtin_adapter("ink")).sha256

    def acts(self) -> dict[str, Ready]:
        store, sha256, me = self._store, self._sha256, who()
        judging, running, settings, stock, questions = (
            store.judging,
            store.running,
            store.settings,
            store.stock,
            store.questions,
        )
        return {
            "audit.record": at_once(lambda: store.audit.record("test", "nothing", guild_id=None)),
            "questions.ask": at_once(lambda: questions.ask(me, "test", {"a": 1})),
            "questions.amend": then(self.asked, lambda number: questions.amend(me, "test", number, {"a": 2})),
            "questions.take": then(self.asked, lambda number: questions.take(me, "test", number)),
            "judging.ban": at_once(lambda: judging.ban([f"{next(_numbers):064x}"], GUILD, "it", "so", actor=1)),
            "judging.unban": then(self.banned, lambda name: judging.unban(name, GUILD, actor=1)),
            "judging.quarantine": then(
                lambda: judging.release(sha256), lambda _: judging.quarantine(sha256, "so", by_hand=True)
            ),
            "judging.release": then(
                lambda: judging.quarantine(sha256, "so", by_hand=True), lambda _: judging.release(sha256)
            ),
            "running.note": at_once(lambda: running.note(sha256, 0.1, 0.1, failed_for=next(_numbers))),
            "running.forgive": then(
                lambda: running.note(sha256, failed_for=next(_numbers)), lambda _: running.forgive(sha256)
            ),
            "settings.change": at_once(lambda: settings.change(self._scope(), _other, note=me)),
            "settings.forget": then(self.chosen, settings.forget),
            "stock.pin": then(
                lambda: stock.pin(sha256, "ink", me, on=False), lambda _: stock.pin(sha256, "ink", me, on=True)
            ),
            "stock.keep_warm": then(
                lambda: stock.keep_warm(sha256, "ink", me, on=False),
                lambda _: stock.keep_warm(sha256, "ink", me, on=True),
            ),
            "stock.add_model": at_once(lambda: stock.add_model(f"model{next(_numbers)}", "x", me)),
            "stock.remove_model": then(self.model, lambda name: stock.remove_model(name, me)),
            "people.forget": then(self.somebody, lambda member_id: store.people.forget(member_id, Shared.REMOVED)),
        }

    async def asked(self) -> str:
        return await self._store.questions.ask(who(), "test", {"a": 1})

    async def banned(self) -> str:
        name = f"it{next(_numbers)}"
        await self._store.judging.ban([f"{next(_numbers):064x}"], GUILD, name, "so")
        return name

    async def chosen(self) -> int:
        member_id = next(_numbers)
        await self._store.settings.change(f"member:{member_id}", _other)
        return member_id

    async def model(self) -> str:
        name = f"model{next(_numbers)}"
        await self._store.stock.add_model(name, "x", who())
        return name

    async def somebody(self) -> int:
        """Who has ordered and chosen something."""
        member_id = await self.chosen()
        await self._store.jobs.record(order(by=who(member_id)))
        return member_id

    @staticmethod
    def _scope() -> str:
        return f"server:{next(_numbers)}"


def _owner(entry: CatalogEntry) -> Who:
    assert entry.owner_id is not None
    return who(entry.owner_id)


def _other(said: Settings) -> Settings:
    assert said == NOTHING
    return Settings(steps=7)
