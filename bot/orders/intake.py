"""/lora add as a use-case: look at what is named or sent, show it, and on a yes make it an entry. Knows no Discord."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from engine import BadRequest

from ..importing import (
    AtSource,
    Dropped,
    Fetched,
    HashDiffers,
    Importer,
    NoRoom,
    OnProgress,
    SourceUnusable,
    TooSlow,
    Unchanged,
    Unknown,
    megabytes,
    parse_source,
)
from .additions import (
    EVERYONE,
    GUILD,
    PRIVATE,
    Added,
    Offer,
    addition_of,
    offer_of,
    offer_of_upload,
)
from .errors import Forbidden, OrderError, QueueFull, Stopped, TooLate
from .rights import require_command
from .shelf import read_name
from .values import Allotment, CatalogEntry, Who
from .waiting import Waiting, gone

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)

COMMAND = "lora add"
KIND, WHICH, DROP = "add", "add which", "add dropped"  # of questions
RESERVE = 512 << 20  # bytes that stay free on the disk
UPLOAD = 15 * 60.0  # seconds that a file from Discord may take
CHECK_EVERY = timedelta(days=1)
CHECKED = 500  # origins that are looked after in one go
PAUSE = 2.0  # seconds between two questions to sources, which are asked by nobody in a hurry
NOBODY = Who(0, "watch folder", None, 0)

Banned = Callable[[Iterable[str], int | None], Awaitable[str | None]]
"""Why one of these hashes may not be kept in this server (None: in none), or None."""
Sent = Callable[[str], AsyncIterator[bytes]]
"""The pieces of a file that a member sent to Discord, by its address. Raises ImportRefused."""


class Intake:
    """`on_added` is told when there is a new entry. Each member has one import under way at most."""

    def __init__(
        self,
        store: Store,
        importer: Importer,
        sent: Sent,
        *,
        allotment: Allotment | None = None,
        banned: Banned | None = None,
        on_added: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: float = PAUSE,
    ) -> None:
        self._store = store
        self._importer = importer
        self._waiting = Waiting(importer)
        self._sent = sent
        self._allotment = allotment or Allotment()
        self._banned = banned
        self._on_added = on_added
        self._now = now
        self._pause = pause
        self._under_way: dict[int, tuple[str, asyncio.Task[Added]]] = {}

    @property
    def cap(self) -> int:
        """The largest file that is taken, in bytes."""
        return self._importer.cap

    async def look(self, who: Who, text: str, *, name: str = "", visibility: str = PRIVATE) -> Offer:
        """What is where `text` points, of which nothing is kept. Raises ImportRefused, OrderError."""
        name = await self._admitted(who, name, visibility)
        preflight = await self._importer.preflight(parse_source(text))
        await self._refuse_banned(preflight.hashes.values(), who)
        offer = offer_of(preflight, name, visibility)
        await self._require_room(who, offer.size or 0)
        stated = offer.sha256 or preflight.hashes.get("AutoV3", "")
        here = await self._store.catalog.find_hashed(who, stated) if stated else None
        return await self._completed(offer, who, here)

    async def look_at_upload(
        self, who: Who, address: str, file_name: str, size: int, *, name: str = "", visibility: str = PRIVATE
    ) -> Offer:
        """What the file is that a member sent to Discord; it is read and not kept. Raises what `look` does, and
        AdapterInvalid, AdapterUnsupported.
        """
        name = await self._admitted(who, name, visibility)
        await self._require_room(who, size)
        async with self._received(address, file_name, size) as fetched:
            return await self._offered(fetched, who, offer_of_upload(fetched, address, name, visibility))

    async def invite(self, who: Who, *, name: str = "", visibility: str = PRIVATE) -> str:
        """The drop page may bring one file of this member's, to be called and seen so; gives the number by which its
        link and `arrived` know it. Raises OrderError, NoRoom.
        """
        name = await self._admitted(who, name, visibility)
        await self._require_room(who, 0)
        return await self._store.questions.ask(who, DROP, {"name": name, "visibility": visibility})

    async def receive(self, dropped: Dropped) -> str:
        """What came by the drop page waits for a yes of its member; gives the sentence that the page shows."""
        who, info = Who(dropped.member_id, "", dropped.guild_id, 0), dropped.fetched.info
        try:
            await self._put_by(dropped, who)
        except OrderError as error:
            raise SourceUnusable(str(error)) from error
        facts = ", ".join(filter(None, (info.format, info.family, megabytes(info.size))))
        return f"{info.title or info.name} is here ({facts}) and waits for an hour. Now press “It is sent” in Discord."

    async def arrived(self, who: Who, number: str) -> Offer:
        """The file that the drop page brought for this number. Raises TooLate, and BadRequest while there is none."""
        value = await self._store.questions.look(who, DROP, number)
        if value is None:
            raise _too_late()
        if "offer" not in value:
            raise BadRequest("Nothing has come by this link yet. Open the page, send the file, and press again.")
        if not self._waiting.holds(who.member_id, number):
            raise gone()
        return Offer.from_json(value["offer"])

    async def ask(self, who: Who, offer: Offer) -> str:
        """The offer waits for a yes of this member, in this server; gives the number of the question."""
        return await self._store.questions.ask(who, KIND, offer.to_json())

    async def show_to(self, who: Who, number: str, visibility: str) -> Offer:
        """The offer that waits, now to be seen by these people. Raises TooLate, Forbidden, NameTaken."""
        value = await self._store.questions.look(who, KIND, number)
        if value is None:
            raise _too_late()
        offer = replace(Offer.from_json(value), visibility=visibility)
        await self._admitted(who, offer.name, visibility)
        offer = await self._completed(offer, who)
        if not await self._store.questions.amend(who, KIND, number, offer.to_json()):
            raise _too_late()
        return offer

    async def answer(self, who: Who, number: str) -> Offer:
        """The offer that waited; it does no more. Raises TooLate where it was answered, or is somebody else's."""
        value = await self._store.questions.take(who, KIND, number)
        if value is None:
            raise _too_late()
        return Offer.from_json(value)

    async def decline(self, who: Who, number: str) -> None:
        """The offer that waited does no more, and a file that waited with it is gone. Raises what `answer` does."""
        offer = await self.answer(who, number)
        if offer.dropped:
            await self._waiting.let_go(who.member_id, offer.dropped)

    async def ask_which(self, who: Who, named: Mapping[str, str], visibility: str) -> str:
        """Adapters that a picture names, by their hash, wait to be looked up, one or all of them."""
        return await self._store.questions.ask(who, WHICH, {"named": dict(named), "visibility": visibility})

    async def which(self, who: Who, number: str, digest: str) -> Offer:
        """One of the adapters that wait, looked up. Raises TooLate, and what `look` does."""
        value = await self._store.questions.look(who, WHICH, number)
        if value is None or digest not in value["named"]:
            raise _too_late()
        return await self.look(who, digest, visibility=value["visibility"])

    async def add(self, who: Who, offer: Offer, key: str = "", on_progress: OnProgress | None = None) -> Added:
        """The offer is the member's entry. `stop(key)` ends it before: then it raises Stopped, and nothing is kept.

        Raises what `look` does, and AdapterInvalid, AdapterUnsupported, HashDiffers.
        """
        await self._admitted(who, offer.name, offer.visibility)
        if who.member_id in self._under_way:
            raise QueueFull("You have an import under way; wait until it is done, or stop it.")
        work = asyncio.create_task(self._bring(who, offer, on_progress), name=f"import of {who.member_id}")
        self._under_way[who.member_id] = key, work
        try:
            return await work
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise Stopped("Stopped. Nothing of it was kept.") from None
        finally:
            del self._under_way[who.member_id]

    def stop(self, who: Who, key: str) -> bool:
        """The member's import with that key ends; False when there is none under way."""
        found, work = self._under_way.get(who.member_id, ("", None))
        if work is None or found != key:
            return False
        return work.cancel()

    async def keep_watched(self, fetched: Fetched) -> None:
        """What lay in the watch folder is everyone's and nobody's own."""
        try:
            await self._refuse_banned((fetched.info.sha256, fetched.info.tensor_sha256), NOBODY)
            addition = addition_of(fetched, EVERYONE)
            added = await self._store.intake.keep(fetched.path, addition, NOBODY, owner_id=None)
        except OrderError as error:
            raise SourceUnusable(str(error)) from error
        log.info("%s from the watch folder is everyone's now", added.entry.name)
        self._on_added()

    async def check_sources(self) -> int:
        """Sources that were not asked for a day are asked what became of their files; gives how many have news.

        What is here stays whatever they answer, and what cannot be asked is asked another day.
        """
        asked: dict[tuple[str, str, str], AtSource] = {}
        due = await self._store.origins.due(self._now() - CHECK_EVERY, CHECKED)
        for origin in due:
            come_from = origin.provenance
            key = come_from.source, come_from.sha256, come_from.version
            if key not in asked:
                asked[key] = await self._importer.check(come_from)
                await asyncio.sleep(self._pause if come_from.source else 0)
            await self._store.origins.note(origin.entry_id, asked[key])
        return sum(not isinstance(found, Unchanged | Unknown) for found in asked.values())

    async def forget(self, member_id: int) -> None:
        """Nothing is on its way in for this person: their import has ended, and no file of theirs waits."""
        _, work = self._under_way.get(member_id, ("", None))
        if work is not None:
            work.cancel()
            await asyncio.wait({work})
        await self._waiting.let_go(member_id)

    async def aclose(self) -> None:
        """Nothing is under way any more: what was is stopped."""
        works = [work for _, work in self._under_way.values()]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await asyncio.sleep(0)  # whoever waits for them hears of it
        await self._waiting.aclose()

    async def _bring(self, who: Who, offer: Offer, on_progress: OnProgress | None) -> Added:
        if offer.dropped:
            async with self._waiting.taking(who.member_id, offer.dropped) as fetched:
                return await self._keep_offered(fetched, who, offer)
        if not offer.source:
            async with self._received(offer.upload, offer.file_name, offer.size or 0, on_progress) as fetched:
                return await self._keep_offered(fetched, who, offer)
        preflight = await self._importer.preflight(parse_source(offer.source))
        async with self._importer.fetch(preflight, on_progress) as fetched:
            return await self._keep_offered(fetched, who, offer)

    async def _keep_offered(self, fetched: Fetched, who: Who, offer: Offer) -> Added:
        if offer.sha256 and offer.sha256 != fetched.info.sha256:
            raise HashDiffers("There is another file now than the one that was shown; send /lora add once more.")
        return await self._keep(fetched, who, offer.visibility, offer.name)

    async def _keep(self, fetched: Fetched, who: Who, visibility: str, name: str = "") -> Added:
        await self._refuse_banned((fetched.info.sha256, fetched.info.tensor_sha256), who)
        allotment = None if who.owner else self._allotment
        addition = addition_of(fetched, visibility, name)
        added = await self._store.intake.keep(fetched.path, addition, who, owner_id=who.member_id, allotment=allotment)
        if added.new:
            self._on_added()
        return added

    @asynccontextmanager
    async def _received(
        self, address: str, file_name: str, size: int, on_progress: OnProgress | None = None
    ) -> AsyncIterator[Fetched]:
        """The file at Discord, proven to be an adapter; gone when the block ends."""
        async with self._importer.arrival(on_progress) as arrival:
            arrival.expect(size)
            try:
                async with asyncio.timeout(UPLOAD):
                    async for piece in self._sent(address):
                        await arrival.take(piece)
            except TimeoutError:
                raise TooSlow(f"Discord took longer than {UPLOAD / 60:g} minutes to give the file.") from None
            await arrival.finish()
            yield await self._importer.from_upload(arrival.path, file_name)

    async def _offered(self, fetched: Fetched, who: Who, offer: Offer) -> Offer:
        """The offer of a file that was sent. Raises Forbidden for one that may not be kept here."""
        info = fetched.info
        await self._refuse_banned((info.sha256, info.tensor_sha256), who)
        here = await self._store.intake.seen(who, info.sha256, info.tensor_sha256)
        return await self._completed(offer, who, here)

    async def _put_by(self, dropped: Dropped, who: Who) -> None:
        """The file waits, and its question knows what it is. Raises OrderError."""
        key = dropped.key
        asked = await self._store.questions.look(who, DROP, key)
        if asked is None:
            raise _too_late()
        offer = offer_of_upload(dropped.fetched, "", asked["name"], asked["visibility"])
        offer = replace(await self._offered(dropped.fetched, who, offer), dropped=key)
        await self._waiting.put(who.member_id, key, dropped.fetched)
        if not await self._store.questions.amend(who, DROP, key, {**asked, "offer": offer.to_json()}):
            await self._waiting.let_go(who.member_id, key)
            raise _too_late()

    async def _completed(self, offer: Offer, who: Who, here: CatalogEntry | None = None) -> Offer:
        """The offer with the name that it would get, and the entry that has its tensors already."""
        name = await self._store.intake.free_name(who, offer.proposed, offer.visibility)
        return replace(offer, proposed=name, here=offer.here if here is None else here.name)

    async def _admitted(self, who: Who, name: str, visibility: str) -> str:
        """The name that is asked for, where this member may add something so called and seen. Raises OrderError."""
        require_command(who, COMMAND)
        if visibility == GUILD and who.guild_id is None:
            raise Forbidden("This is no server; choose who else may see the adapter, or send the command in one.")
        name = read_name(name) if name.strip() else ""
        if name:
            await self._store.intake.require_name(who, name, visibility)
        return name

    async def _require_room(self, who: Who, size: int) -> None:
        """Returns when the member and the disk have room for a file. Raises ShelfFull, NoRoom."""
        if not who.owner:
            await self._store.intake.require_room(who.member_id, self._allotment, size)
        free = await asyncio.to_thread(shutil.disk_usage, self._importer.folder)
        if free.free < 2 * size + RESERVE:  # it arrives in one place and is kept in another
            raise NoRoom("There is not enough room left on the disk of this bot; whoever runs it must make some.")

    async def _refuse_banned(self, hashes: Iterable[str], who: Who) -> None:
        if self._banned is not None and (reason := await self._banned(hashes, who.guild_id)):
            raise Forbidden(reason)


def _too_late() -> TooLate:
    return TooLate("This card is answered or too old, or somebody else's. Send /lora add again.")
