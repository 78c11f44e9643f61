"""Sample pictures that are drawn here, one set an entry, and those that its source had."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, exists, select

from ..importing import PreviewPicture
from ..orders.values import CatalogEntry
from .catalog import entry_of
from .database import Database
from .models import EntryRow, OriginRow, SampleRow
from .samples import SampleFolder

FROM_SOURCE, DRAWN = "source", "drawn"


class Drawings:
    """`keep` and `forget` are inverses."""

    def __init__(self, database: Database, folder: SampleFolder) -> None:
        self._database = database
        self._folder = folder

    async def keep(self, entry_id: int, pictures: Collection[PreviewPicture]) -> bool:
        """The pictures are the entry's, but those not fit for everybody where it shows a real person: they are gone.

        False, and nothing is kept, when the entry is gone or has some already.
        """
        files = [(await self._folder.add(picture.webp), picture) for picture in pictures]
        kept: list[tuple[str, PreviewPicture]] = []
        try:
            async with self._database.write() as session:
                drawn = exists().where(SampleRow.entry_id == EntryRow.id, SampleRow.kind == DRAWN)
                entry = await session.scalar(select(EntryRow).where(EntryRow.id == entry_id, ~drawn))
                if entry is not None:
                    fit = [one for one in files if not (entry.real_person and one[1].mature)]
                    session.add_all(sample_rows(entry_id, DRAWN, [one[1] for one in fit], [one[0] for one in fit]))
            kept = fit if entry is not None else []
        finally:
            await self._folder.remove([one[0] for one in files if one not in kept])
        return entry is not None

    async def forget(self, entry_id: int) -> None:
        """Nothing is drawn of the entry, so it will be drawn again."""
        drawn = delete(SampleRow).where(SampleRow.entry_id == entry_id, SampleRow.kind == DRAWN)
        async with self._database.write() as session:
            files = set(await session.scalars(drawn.returning(SampleRow.file)))
            files -= set(await session.scalars(select(SampleRow.file).where(SampleRow.file.in_(files))))  # of forks
        await self._folder.remove(files)

    async def renew(self, entry_id: int, pictures: Collection[PreviewPicture]) -> None:
        """These pictures and no others were drawn of the entry, and lie on the disk; where they do, nothing is written.

        Nothing is kept when the entry is gone.
        """
        drawn = select(SampleRow.file).where(SampleRow.entry_id == entry_id, SampleRow.kind == DRAWN)
        async with self._database.read() as session:
            files = (await session.scalars(drawn.order_by(SampleRow.id))).all()
        if await self._folder.read(files) != [picture.webp for picture in pictures]:
            await self.forget(entry_id)
            await self.keep(entry_id, pictures)

    async def undrawn(self, limit: int = 100, *, after: int = 0) -> tuple[CatalogEntry, ...]:
        """Added entries behind the id `after` of which nothing was drawn yet, and of which something may be.

        What is not fit for everybody, or shows a real person, nobody has asked to see.
        """
        drawn = exists().where(SampleRow.entry_id == EntryRow.id, SampleRow.kind == DRAWN)
        query = select(EntryRow).join(OriginRow, OriginRow.entry_id == EntryRow.id)
        query = query.where(~drawn, EntryRow.nsfw.is_(False), EntryRow.real_person.is_(False), EntryRow.id > after)
        async with self._database.read() as session:
            return tuple(entry_of(row) for row in await session.scalars(query.order_by(EntryRow.id).limit(limit)))

    async def sweep(self) -> int:
        """No sample is on the disk without a row; gives how many were. For the start, when nobody adds."""
        async with self._database.read() as session:
            known = (await session.scalars(select(SampleRow.file))).all()
        return await self._folder.sweep(known)


def sample_rows(
    entry_id: int, kind: str, pictures: Collection[PreviewPicture], files: Collection[str]
) -> list[SampleRow]:
    """A row for each picture and its file."""
    return [
        SampleRow(
            entry_id=entry_id,
            kind=kind,
            file=file,
            width=picture.width,
            height=picture.height,
            mature=picture.mature,
        )
        for picture, file in zip(pictures, files, strict=True)
    ]
