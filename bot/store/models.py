"""The tables. Portable types only: nothing here is of SQLite alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from ..orders.values import JobState, Triggers

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcTime(TypeDecorator[datetime]):
    """Aware datetimes in, aware UTC out; also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {int: BigInteger, datetime: UtcTime, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class FileRow(Base):
    """One adapter file, by content, however many catalog entries show it."""

    __tablename__ = "adapter_files"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    tensor_sha256: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(200))
    size: Mapped[int]
    format: Mapped[str] = mapped_column(String(40))
    family: Mapped[str] = mapped_column(String(40))
    ranks: Mapped[list[Any]]
    modules: Mapped[dict[str, Any]]
    triggers: Mapped[list[Any]]
    title: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    license: Mapped[str] = mapped_column(Text)
    more: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class EntryRow(Base):
    """A name under which members find a file. `scope` is whose namespace it is in, `folded` the name in lower case."""

    __tablename__ = "catalog_entries"
    __table_args__ = (UniqueConstraint("scope", "folded"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    folded: Mapped[str] = mapped_column(String(200), index=True)
    scope: Mapped[str] = mapped_column(String(40))
    owner_id: Mapped[int | None]
    guild_id: Mapped[int | None]
    visibility: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(ForeignKey("adapter_files.sha256"), index=True)
    created_at: Mapped[datetime]
    uses: Mapped[int]
    alias: Mapped[str] = mapped_column(String(200), server_default="", default="")
    alias_folded: Mapped[str] = mapped_column(String(200), server_default="", default="", index=True)
    weight: Mapped[float] = mapped_column(Float, server_default="1", default=1.0)
    least: Mapped[float | None] = mapped_column(Float)
    most: Mapped[float | None] = mapped_column(Float)
    trigger_policy: Mapped[Triggers] = mapped_column(
        Enum(Triggers, native_enum=False, length=8, values_callable=lambda kinds: [kind.value for kind in kinds]),
        server_default="none",
        default=Triggers.NONE,
    )
    chosen: Mapped[list[Any]] = mapped_column(server_default="[]", default=list)
    description: Mapped[str] = mapped_column(Text, server_default="", default="")
    nsfw: Mapped[bool] = mapped_column(server_default=false(), default=False)
    real_person: Mapped[bool] = mapped_column(server_default=false(), default=False)
    credit: Mapped[str] = mapped_column(Text, server_default="", default="")
    license: Mapped[str] = mapped_column(Text, server_default="", default="")
    forked_from: Mapped[int | None] = mapped_column(Integer)  # no foreign key: what it names may be gone
    stars: Mapped[float] = mapped_column(Float, server_default="0", default=0.0)
    ratings: Mapped[int] = mapped_column(server_default="0", default=0)
    favourites: Mapped[int] = mapped_column(server_default="0", default=0)

    file: Mapped[FileRow] = relationship(lazy="joined", innerjoin=True)
    tags: Mapped[list[TagRow]] = relationship(
        lazy="selectin", order_by="TagRow.tag", cascade="all, delete-orphan", passive_deletes=True
    )


class TagRow(Base):
    """One word under which an entry is found, in lower case."""

    __tablename__ = "entry_tags"

    entry_id: Mapped[int] = mapped_column(ForeignKey("catalog_entries.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(40), primary_key=True, index=True)


class OriginRow(Base):
    """Where an entry's file came from, as bot.importing.Provenance writes it; outlives the source.

    `at_source` is what became of it there when it was last asked, "" while it is as it was.
    """

    __tablename__ = "entry_origins"

    entry_id: Mapped[int] = mapped_column(ForeignKey("catalog_entries.id", ondelete="CASCADE"), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    at_source: Mapped[str] = mapped_column(Text)
    checked_at: Mapped[datetime]


class SampleRow(Base):
    """A sample picture of an entry, a file in `previews/`: from its source, drawn here, or sent with a review."""

    __tablename__ = "entry_samples"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("catalog_entries.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(8))  # source | drawn | review
    member_id: Mapped[int | None]  # whose review it is of
    file: Mapped[str] = mapped_column(String(100))
    width: Mapped[int]
    height: Mapped[int]
    mature: Mapped[bool]


class FavouriteRow(Base):
    """A member keeps an entry within reach."""

    __tablename__ = "favourites"

    member_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entry_id: Mapped[int] = mapped_column(ForeignKey("catalog_entries.id", ondelete="CASCADE"), primary_key=True)


class RatingRow(Base):
    """What one member says of one entry: 1 to 5 stars, and words."""

    __tablename__ = "ratings"

    entry_id: Mapped[int] = mapped_column(ForeignKey("catalog_entries.id", ondelete="CASCADE"), primary_key=True)
    member_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    guild_id: Mapped[int | None]
    stars: Mapped[int]
    words: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class ReportRow(Base):
    """Somebody asks the moderators to look at an entry or a result. Open while `outcome` is empty."""

    __tablename__ = "reports"
    __table_args__ = (Index(None, "guild_id", "outcome"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    guild_id: Mapped[int | None]
    member_id: Mapped[int | None]  # None: the one who reported has been forgotten
    entry_id: Mapped[int | None] = mapped_column(ForeignKey("catalog_entries.id", ondelete="SET NULL"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    subject: Mapped[str] = mapped_column(String(200))  # its name then
    sha256: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(40))
    words: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    outcome: Mapped[str] = mapped_column(String(40))
    decided_by: Mapped[int | None]
    decided_at: Mapped[datetime | None]


class BanRow(Base):
    """A file, or tensors under any name, that may not be kept or used: in one server, or anywhere (`guild_id` 0)."""

    __tablename__ = "bans"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    guild_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class QuarantineRow(Base):
    """A file that is not drawn with until an owner lets it: it made pictures fail, or steps slow."""

    __tablename__ = "quarantine"

    sha256: Mapped[str] = mapped_column(ForeignKey("adapter_files.sha256", ondelete="CASCADE"), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    by_hand: Mapped[bool]
    created_at: Mapped[datetime]


class RunningRow(Base):
    """How drawing with one file went: how often, how often it failed and for how many people, seconds a step."""

    __tablename__ = "adapter_running"

    sha256: Mapped[str] = mapped_column(ForeignKey("adapter_files.sha256", ondelete="CASCADE"), primary_key=True)
    draws: Mapped[int]
    failures: Mapped[int]
    failed_for: Mapped[list[Any]]  # [people.id, when] of each failure of the last day
    seconds_per_step: Mapped[float] = mapped_column(Float)
    base_seconds_per_step: Mapped[float] = mapped_column(Float)
    pinned: Mapped[bool]


class SettingsRow(Base):
    """What a server, a channel or a member has chosen: `scope` is "server:1", "channel:2" or "member:3"."""

    __tablename__ = "settings"

    scope: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[dict[str, Any]]
    changed_at: Mapped[datetime]


class ModelRow(Base):
    """A base model that was added while the bot ran; those of the configuration are not here."""

    __tablename__ = "base_models"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    added_at: Mapped[datetime]


class QuestionRow(Base):
    """A card that waits for its owner: what its buttons mean. They carry the id alone; answered, the row is gone."""

    __tablename__ = "questions"

    id: Mapped[str] = mapped_column(String(22), primary_key=True)
    member_id: Mapped[int]
    guild_id: Mapped[int | None]
    kind: Mapped[str] = mapped_column(String(16))
    value: Mapped[dict[str, Any]]
    expires_at: Mapped[datetime] = mapped_column(UtcTime, index=True)


class JobRow(Base):
    """One order and what became of it. `told`: its member has been shown how it ended.

    `charge` is what it takes from its member's seconds of the day: expected, then real, and 0 where nothing came of it.
    `cost` is `engine.cost` of the request as it was ordered, of a job that was drawn.
    `image` is the picture the drawing starts from, `mask` what of it is drawn: read only when one job is asked for, and
    empty once thrown away.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "member_id", "created_at"), Index(None, "state"))

    id: Mapped[str] = mapped_column(String(20), primary_key=True)
    interaction_id: Mapped[int] = mapped_column(unique=True)
    application_id: Mapped[int]
    token: Mapped[str] = mapped_column(Text)
    member_id: Mapped[int]
    member_name: Mapped[str] = mapped_column(String(100))
    guild_id: Mapped[int | None]
    channel_id: Mapped[int]
    parent_id: Mapped[int | None]  # the channel that the thread `channel_id` is in
    request: Mapped[dict[str, Any]]
    image: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    mask: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    parent_job: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    nonce: Mapped[str] = mapped_column(String(25), unique=True)
    state: Mapped[JobState] = mapped_column(
        Enum(JobState, native_enum=False, length=16, values_callable=lambda states: [state.value for state in states])
    )
    attempt: Mapped[int]
    losses: Mapped[int]
    told: Mapped[bool]
    message_id: Mapped[int | None]
    message_channel_id: Mapped[int | None]
    sentence: Mapped[str] = mapped_column(Text)
    report: Mapped[list[Any]]
    seconds: Mapped[float | None] = mapped_column(Float)
    charge: Mapped[float] = mapped_column(Float)
    cost: Mapped[float | None] = mapped_column(Float)
    locale: Mapped[str] = mapped_column(String(10), server_default="", default="")
    adult: Mapped[bool] = mapped_column(server_default=false(), default=False)
    mature: Mapped[bool] = mapped_column(server_default=false(), default=False)
    asked_at: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    pictures: Mapped[list[PictureRow]] = relationship(
        lazy="selectin", order_by="PictureRow.place", cascade="all, delete-orphan", passive_deletes=True
    )


class PictureRow(Base):
    """One picture file; `deleted` once it is no longer on the disk."""

    __tablename__ = "pictures"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    file: Mapped[str] = mapped_column(String(100))
    sha256: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    infotext: Mapped[str] = mapped_column(Text)
    deleted: Mapped[bool]


class PersonRow(Base):
    """Whom an audit entry means. Removing the row forgets the person and leaves the entry."""

    __tablename__ = "people"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  a number once given never means somebody else

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    member_id: Mapped[int] = mapped_column(unique=True)


class AuditRow(Base):
    """Who did what to whose things. Never edited and never removed: the migration's triggers refuse it.

    `digest` is SHA-256 over the digest before and this row, so that an edit from outside shows.
    """

    __tablename__ = "audit"
    __table_args__ = (Index(None, "guild_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[int | None] = mapped_column(Integer)  # people.id, of somebody who may be forgotten; None: the bot
    guild_id: Mapped[int | None]
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(100))
    details: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
