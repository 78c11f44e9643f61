"""/lora add as a use-case, against sites that answer as documented."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from bot.importing import (
    AddressRefused,
    Dropped,
    HashDiffers,
    NoRoom,
    Provenance,
    Removed,
    SourceMissing,
    SourceUnusable,
    TooLarge,
    Updated,
    WatchFolder,
)
from bot.orders import Forbidden, Privacy, QueueFull, Shared, TooLate, Who
from bot.orders.additions import Added, Offer
from bot.orders.errors import NameTaken, ShelfFull, Stopped
from bot.orders.intake import Intake
from bot.orders.values import Allotment
from bot.orders.waiting import Waiting
from bot.store import Store, open_store
from engine import AdapterInvalid, BadRequest, builtin_adapter
from tests.bot.importing.conftest import Sites, adapter_bytes, open_sites, picture_bytes
from tests.fakes import GUILD, MEMBER, NOW, FakeLine, until, who

PAGE = "12345@67890"
AT_DISCORD = "https://cdn.discordapp.com/attachments/1/2/ink.safetensors"


@dataclass
class Room:
    """An intake with everything around it. `sent` is what lies at Discord, `banned` the hashes that may not be kept."""

    sites: Sites
    store: Store
    intake: Intake
    data: Path
    sent: dict[str, bytes]
    banned: set[str]
    added: list[None] = field(default_factory=list)

    async def add(self, text: str = PAGE, by: Who | None = None, **options: str) -> Added:
        by = by or who()
        return await self.intake.add(by, await self.intake.look(by, text, **options))

    async def upload(self, data: bytes, by: Who | None = None, **options: str) -> Added:
        by = by or who()
        self.sent[AT_DISCORD] = data
        offer = await self.intake.look_at_upload(by, AT_DISCORD, "ink.safetensors", len(data), **options)
        return await self.intake.add(by, offer)

    def blobs(self) -> int:
        return len(list((self.data / "adapters").rglob("*.safetensors")))

    def previews(self) -> int:
        return len(list((self.data / "previews").iterdir()))


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    sent: dict[str, bytes] = {}
    banned: set[str] = set()

    async def pieces(address: str) -> AsyncIterator[bytes]:
        if address not in sent:
            raise SourceMissing("gone")
        for at in range(0, len(sent[address]), 1000):
            yield sent[address][at : at + 1000]

    async def why(hashes: Iterable[str], guild_id: int | None) -> str | None:
        return "This one is banned here." if banned.intersection(hashes) and guild_id == GUILD else None

    async with (
        open_sites(adapter_bytes(), picture_bytes(), tmp_path) as sites,
        open_store(None, tmp_path / "data", now=lambda: NOW) as store,
    ):
        for picture in sites.civitai.version["images"]:
            picture["url"] += "?signature=s%252F1"
        added: list[None] = []
        intake = Intake(
            store,
            sites.importer,
            pieces,
            allotment=Allotment(3, 1_000_000),
            banned=why,
            on_added=lambda: added.append(None),
            now=lambda: NOW + timedelta(days=2),
            pause=0,
        )
        yield Room(sites, store, intake, tmp_path / "data", sent, banned, added)
        await intake.aclose()
    assert sites.leftovers() == []


def relabelled(data: bytes, folder: Path) -> bytes:
    """The same tensors under another header."""
    path = folder / "relabelled.safetensors"
    path.write_bytes(data)
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping
    save_file(tensors, path, metadata={"ss_output_name": "other"})
    return path.read_bytes()


async def test_an_offer_survives_being_written_down(room: Room) -> None:
    offer = await room.intake.look(who(), PAGE, name="mine", visibility="guild")
    assert Offer.from_json(json.loads(json.dumps(offer.to_json()))) == offer
    assert offer.previews
    assert (room.blobs(), room.previews(), room.added) == (0, 0, [])


async def test_an_entry_keeps_where_it_came_from(room: Room) -> None:
    added = await room.add()
    origin = await room.store.origins.of(added.entry.id)
    assert origin is not None
    assert (origin.at_source, origin.checked_at) == (None, NOW)
    assert origin.provenance.creator == "brushmaker"
    assert '"allowCommercialUse"' in origin.provenance.snapshot
    assert (room.blobs(), room.previews(), len(room.added)) == (1, 2, 1)
    assert [entry.action for entry in await room.store.audit.entries(None)] == ["add"]


async def test_a_yes_counts_once_and_is_the_asker_s_alone(room: Room) -> None:
    number = await room.intake.ask(who(), await room.intake.look(who(), PAGE))
    for other in (who(MEMBER + 1), who(guild_id=GUILD + 1), who(guild_id=None)):
        with pytest.raises(TooLate):
            await room.intake.answer(other, number)
        with pytest.raises(TooLate):
            await room.intake.show_to(other, number, "everyone")
    answers = await asyncio.gather(*(room.intake.answer(who(), number) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, Offer) for answer in answers) == 1
    assert sum(isinstance(answer, TooLate) for answer in answers) == 19


async def test_which_of_a_picture_s_adapters_can_be_looked_up_nobody_makes_up(room: Room) -> None:
    digest = room.sites.civitai.hashes["AutoV2"].lower()
    number = await room.intake.ask_which(who(), {digest: "ink"}, "guild")
    offer = await room.intake.which(who(), number, digest)
    assert (offer.title, offer.visibility) == ("Ink", "guild")
    for asker, chosen in ((who(), "0" * 10), (who(MEMBER + 1), digest)):
        with pytest.raises(TooLate):
            await room.intake.which(asker, number, chosen)


async def test_equal_files_are_kept_once_whoever_adds_them(room: Room) -> None:
    first = await room.add()
    second = await room.add(by=who(MEMBER + 1))
    assert first.entry.info.sha256 == second.entry.info.sha256
    assert first.entry.id != second.entry.id
    assert (second.same_as, second.shared) == ("", False)  # the other one is private, so nothing is said of it
    assert room.blobs() == 1


async def test_equal_tensors_under_another_header_use_the_file_that_is_here(room: Room, tmp_path: Path) -> None:
    first = await room.add(visibility="everyone")
    other = relabelled(adapter_bytes(), tmp_path)
    assert other != adapter_bytes()
    room.sent[AT_DISCORD] = other
    offer = await room.intake.look_at_upload(who(MEMBER + 1), AT_DISCORD, "x.safetensors", len(other))
    assert offer.here == "ink"
    second = await room.intake.add(who(MEMBER + 1), offer)
    assert (second.shared, second.same_as, second.new) == (True, "ink", True)
    assert second.entry.info.sha256 == first.entry.info.sha256
    assert room.blobs() == 1


async def test_what_others_keep_to_themselves_is_not_given_away(room: Room, tmp_path: Path) -> None:
    """Equal tensors in somebody's private entry: neither said nor shown by another file's metadata."""
    await room.add()
    added = await room.upload(relabelled(adapter_bytes(), tmp_path), who(MEMBER + 1))
    assert (added.same_as, added.shared) == ("", False)
    assert room.blobs() == 2


async def test_the_same_once_more_adds_nothing(room: Room) -> None:
    first = await room.add()
    again = await room.add()
    assert (again.new, again.entry.id) == (False, first.entry.id)
    assert (room.blobs(), room.previews()) == (1, 2)


async def test_names_that_are_met_are_passed_over_and_wanted_ones_refused(room: Room) -> None:
    await room.store.catalog.add(builtin_adapter("neon"), "Ink", visibility="everyone")
    assert (await room.intake.look(who(), PAGE)).proposed == "ink-2"
    assert (await room.add()).entry.name == "ink-2"
    assert (await room.upload(adapter_bytes(seed=1))).entry.name == "ink-3"
    assert (await room.upload(adapter_bytes(seed=2), name="ink")).entry.name == "ink"  # one's own namespace
    with pytest.raises(NameTaken, match="'INK-2'"):
        await room.intake.look(who(), "maker/ink", name="INK-2")
    for name in ("a:b", "a>b", "#12", "x" * 61):
        with pytest.raises(BadRequest):
            await room.intake.look(who(), PAGE, name=name)


async def test_a_name_that_was_taken_meanwhile_leaves_no_file(room: Room) -> None:
    offer = await room.intake.look(who(), PAGE, name="mine")
    await room.store.catalog.add(builtin_adapter("neon"), "mine", visibility="private", owner_id=MEMBER)
    with pytest.raises(NameTaken):
        await room.intake.add(who(), offer)
    assert (room.blobs(), room.previews()) == (1, 0)


async def test_a_defect_in_the_middle_leaves_no_file(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = await room.intake.look(who(), PAGE)
    monkeypatch.setattr("bot.store.audit.Audit.note", None)
    with pytest.raises(TypeError):
        await room.intake.add(who(), offer)
    assert (room.blobs(), room.previews()) == (0, 0)
    assert await room.store.catalog.find(who(), "ink") is None


async def test_other_bytes_than_were_shown_are_not_kept(room: Room) -> None:
    room.sent[AT_DISCORD] = adapter_bytes()
    offer = await room.intake.look_at_upload(who(), AT_DISCORD, "a.safetensors", 5)
    room.sent[AT_DISCORD] = adapter_bytes(seed=1)
    with pytest.raises(HashDiffers, match="another file now"):
        await room.intake.add(who(), offer)
    del room.sent[AT_DISCORD]
    with pytest.raises(SourceMissing):
        await room.intake.add(who(), offer)
    assert room.blobs() == 0


async def test_an_upload_is_cut_off_at_the_cap_and_when_it_is_no_adapter(room: Room) -> None:
    room.sites.importer.cap = 100_000
    with pytest.raises(TooLarge):  # a size that is told, and one that is not true
        await room.upload(adapter_bytes())
    room.sent[AT_DISCORD] = adapter_bytes()
    with pytest.raises(TooLarge):
        await room.intake.look_at_upload(who(), AT_DISCORD, "a.safetensors", 10)
    room.sites.importer.cap = 1_000_000
    with pytest.raises(AdapterInvalid):
        await room.upload(adapter_bytes()[:-4])
    with pytest.raises(SourceUnusable):
        await room.upload(b"\x80\x02cos\nsystem\n" * 10)


@pytest.mark.parametrize("what", ["sha256", "tensor_sha256"])
async def test_what_is_banned_here_is_refused_by_its_file_and_by_its_tensors(room: Room, what: str) -> None:
    """By the stated hash before anything is fetched, and by the real one afterwards."""
    known = await room.add(by=who(guild_id=None))
    offer = await room.intake.look(who(), PAGE)
    room.banned.add(getattr(known.entry.info, what))
    with pytest.raises(Forbidden, match="banned"):
        await room.intake.add(who(MEMBER + 1), offer)
    with pytest.raises(Forbidden, match="banned"):
        await room.upload(adapter_bytes())
    if what == "sha256":
        with pytest.raises(Forbidden, match="banned"):
            await room.intake.look(who(), PAGE)
    assert len(room.added) == 1


async def test_a_member_has_room_for_so_many_and_an_owner_for_more(room: Room) -> None:
    for seed in range(3):
        await room.upload(adapter_bytes(seed=seed))
    with pytest.raises(ShelfFull, match="3 is the most"):
        await room.intake.look(who(), PAGE)
    assert (await room.upload(adapter_bytes(seed=9), replace(who(), owner=True))).new


async def test_bytes_are_counted_too_and_where_it_takes_effect(room: Room) -> None:
    room.intake._allotment = Allotment(100, 500_000)
    offers = []
    for seed in range(3):
        address = f"{AT_DISCORD}{seed}"
        room.sent[address] = adapter_bytes(seed=seed)
        offers.append(await room.intake.look_at_upload(who(), address, f"{seed}.safetensors", 209_332))
    await room.intake.add(who(), offers[0])
    await room.intake.add(who(), offers[1])
    with pytest.raises(ShelfFull, match="is the most"):
        await room.intake.add(who(), offers[2])
    assert room.blobs() == 2


async def test_a_full_disk_is_noticed_before_anything_is_fetched(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("bot.orders.intake.shutil.disk_usage", lambda _: usage(1, 1, 512 << 20))
    with pytest.raises(NoRoom):
        await room.intake.look(who(), PAGE)


async def test_a_server_s_entry_needs_a_server(room: Room) -> None:
    with pytest.raises(Forbidden, match="no server"):
        await room.intake.look(who(guild_id=None), PAGE, visibility="guild")


async def stalled(room: Room, by: Who) -> asyncio.Task[Added]:
    """An import that has begun and does not end by itself."""
    begun = asyncio.Event()

    async def stalls(address: str) -> AsyncIterator[bytes]:
        yield adapter_bytes()[:100_000]
        begun.set()
        await asyncio.sleep(60)

    room.intake._sent = stalls
    offer = Offer(upload=AT_DISCORD, file_name="a.safetensors")
    task = asyncio.create_task(room.intake.add(by, offer, "key"))
    await asyncio.wait_for(begun.wait(), 5)
    return task


async def test_one_import_at_a_time_which_can_be_stopped(room: Room) -> None:
    task = await stalled(room, who())
    with pytest.raises(QueueFull, match="under way"):
        await room.add()
    assert not room.intake.stop(who(), "another")
    assert not room.intake.stop(who(MEMBER + 1), "key")
    assert room.intake.stop(who(), "key")
    with pytest.raises(Stopped, match="Nothing of it was kept"):
        await task
    assert not room.intake.stop(who(), "key")
    assert (await room.add()).new


async def test_whoever_waits_hears_that_the_bot_ends(room: Room) -> None:
    task = await stalled(room, who())
    await room.intake.aclose()
    with pytest.raises(Stopped):
        await task


async def test_progress_is_told_while_a_file_comes(room: Room) -> None:
    seen: list[tuple[int, int | None]] = []
    offer = await room.intake.look(who(), PAGE)
    await room.intake.add(who(), offer, "", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(adapter_bytes()),) * 2


async def dropped(room: Room, folder: Path, key: str, data: bytes | None = None) -> str:
    """What the page says of a file that came by the link of this key."""
    path = folder / "a"
    path.write_bytes(data or adapter_bytes())
    fetched = await room.sites.importer.from_upload(path, "My brush.safetensors")
    return await room.intake.receive(Dropped(MEMBER, GUILD, key, fetched))


async def test_what_is_dropped_waits_for_a_yes(room: Room, tmp_path: Path) -> None:
    """Called and seen as was asked for with the link; the page says what it is."""
    key = await room.intake.invite(who(), name="Tusche", visibility="guild")
    with pytest.raises(BadRequest, match="Nothing has come"):
        await room.intake.arrived(who(), key)
    said = await dropped(room, tmp_path, key)
    assert "My brush is here (LoRA, SD 1.5, 0.2 MB)" in said, said
    assert room.blobs() == 0
    for other in (who(MEMBER + 1), who(guild_id=None)):
        with pytest.raises(TooLate):
            await room.intake.arrived(other, key)
    offer = await room.intake.arrived(who(), key)
    added = await room.intake.add(who(), await room.intake.answer(who(), await room.intake.ask(who(), offer)))
    entry = added.entry
    assert (entry.owner_id, entry.name, entry.visibility, room.blobs()) == (MEMBER, "Tusche", "guild", 1)
    assert room.sites.leftovers() == []
    for again in (room.intake.arrived(who(), key), room.intake.add(who(), replace(offer, name=""))):
        with pytest.raises(TooLate, match="not here any more"):
            await again


async def test_a_no_a_newer_file_and_an_hour_end_a_dropped_file(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [await room.intake.invite(who()) for _ in range(2)]
    await dropped(room, tmp_path, first)
    await dropped(room, tmp_path, second)
    assert len([path for path in room.sites.leftovers() if path.is_file()]) == 1
    with pytest.raises(TooLate):
        await room.intake.arrived(who(), first)
    offer = await room.intake.arrived(who(), second)
    await room.intake.decline(who(), await room.intake.ask(who(), offer))
    assert room.sites.leftovers() == []
    monkeypatch.setattr(room.intake, "_waiting", Waiting(room.sites.importer, seconds=0.1))
    await dropped(room, tmp_path, first)
    assert len([path for path in room.sites.leftovers() if path.is_file()]) == 1
    await until(lambda: room.sites.leftovers() == [])
    with pytest.raises(TooLate):
        await room.intake.arrived(who(), first)


async def test_a_dropped_file_that_could_not_be_added_waits_on(room: Room, tmp_path: Path) -> None:
    key = await room.intake.invite(who(), name="Tusche")
    await dropped(room, tmp_path, key)
    offer = await room.intake.arrived(who(), key)
    other = await room.upload(adapter_bytes(seed=1), name="Tusche")
    with pytest.raises(NameTaken):
        await room.intake.add(who(), offer)
    await room.store.entries.remove(who(), other.entry.id)
    assert (await room.intake.add(who(), await room.intake.arrived(who(), key))).entry.name == "Tusche"


async def test_nothing_of_a_person_who_is_forgotten_is_on_its_way(room: Room, tmp_path: Path) -> None:
    """Neither an import under way nor a file that waits."""
    await dropped(room, tmp_path, await room.intake.invite(who()))
    adding = await stalled(room, who())
    privacy = Privacy(room.store, FakeLine(room.store), room.intake)
    await privacy.delete(who(), (await privacy.ask(who()))[0], Shared.REMOVED)
    with pytest.raises(Stopped):
        await adding
    assert (room.sites.leftovers(), room.blobs()) == ([], 0)


async def test_what_may_not_be_kept_does_not_wait(room: Room, tmp_path: Path) -> None:
    """Banned here, or by a link that is over; a link is only for what may be so called and seen."""
    key = await room.intake.invite(who())
    fetched = await room.sites.importer.from_upload(builtin_adapter("ink"), "ink.safetensors")
    room.banned.add(fetched.info.sha256)
    with pytest.raises(SourceUnusable, match="banned"):
        await dropped(room, tmp_path, key, builtin_adapter("ink").read_bytes())
    with pytest.raises(SourceUnusable, match="too old"):
        await dropped(room, tmp_path, "x" * 22)
    assert room.sites.leftovers() == []
    with pytest.raises(Forbidden, match="no server"):
        await room.intake.invite(who(guild_id=None), visibility="guild")
    await room.upload(adapter_bytes(seed=1), name="Tusche")
    with pytest.raises(NameTaken):
        await room.intake.invite(who(), name="Tusche")


async def test_what_lies_in_the_watch_folder_is_everyone_s(room: Room, tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "brush.safetensors").write_bytes(adapter_bytes())
    watch = WatchFolder(folder, room.sites.importer, room.intake.keep_watched)
    await watch.look()
    await watch.look()
    entry = await room.store.catalog.find(who(MEMBER + 1, guild_id=None), "brush")
    assert entry is not None
    assert (entry.owner_id, entry.visibility, len(room.added)) == (None, "everyone", 1)
    assert (folder / "imported" / "brush.safetensors").exists()


async def test_an_update_and_a_removal_at_the_source_are_noticed_and_not_fatal(room: Room) -> None:
    added = await room.add()
    other = await room.add("maker/ink", who(MEMBER + 1))
    sent = await room.upload(adapter_bytes(seed=1), who(MEMBER + 2))
    room.sites.civitai.model["modelVersions"].insert(0, {"id": 70000, "name": "v3"})
    room.sites.hub.refuse["/api/"] = [(404, "EntryNotFound", {})]
    room.intake._importer = room.sites.allowing()  # the old one still has its answers
    assert await room.intake.check_sources() == 2
    origins = [await room.store.origins.of(one.entry.id) for one in (added, other, sent)]
    noticed = [origin and origin.at_source for origin in origins]
    assert noticed[0] == Updated("v3", "https://civitai.com/models/12345?modelVersionId=70000")
    assert isinstance(noticed[1], Removed)
    assert noticed[2] is None
    assert room.blobs() == 2
    assert isinstance(origins[0] and origins[0].provenance, Provenance)


async def test_what_cannot_be_asked_leaves_what_was_known(room: Room) -> None:
    added = await room.add()
    await room.store.origins.note(added.entry.id, Removed("It was there."))
    room.sites.civitai.refuse["/api/"] = [(403, {}, {})]
    room.intake._importer = room.sites.allowing()
    assert await room.intake.check_sources() == 0
    origin = await room.store.origins.of(added.entry.id)
    assert origin is not None
    assert origin.at_source == Removed("It was there.")
    room.sites.civitai.refuse.clear()
    room.intake._importer = room.sites.allowing()
    await room.intake.check_sources()
    origin = await room.store.origins.of(added.entry.id)
    assert origin is not None
    assert origin.at_source is None


async def test_a_day_passes_between_two_questions(room: Room) -> None:
    await room.add()
    room.intake._now = lambda: NOW + timedelta(hours=23)
    asked = len(room.sites.civitai.seen)
    await room.intake.check_sources()
    assert len(room.sites.civitai.seen) == asked


async def test_an_address_that_is_not_asked_is_refused(room: Room) -> None:
    with pytest.raises(AddressRefused):
        await room.intake.look(who(), "http://example.com/ink.safetensors")
