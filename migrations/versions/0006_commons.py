"""What members share: how entries are used and found, where they came from, and what people say of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = (  # in the order they are made
    "entry_tags",
    "entry_origins",
    "entry_samples",
    "favourites",
    "ratings",
    "reports",
    "bans",
    "quarantine",
    "adapter_running",
    "settings",
    "base_models",
    "questions",
)


def upgrade() -> None:
    for column in _of_entries():
        op.add_column("catalog_entries", column)
    op.create_index("ix_catalog_entries_alias_folded", "catalog_entries", ["alias_folded"])
    for column in _of_jobs():
        op.add_column("jobs", column)
    op.create_table(
        "entry_tags",
        _entry(),
        sa.Column("tag", sa.String(length=40), nullable=False),
        _entry_key("entry_tags"),
        sa.PrimaryKeyConstraint("entry_id", "tag", name="pk_entry_tags"),
    )
    op.create_index("ix_entry_tags_tag", "entry_tags", ["tag"])
    op.create_table(
        "entry_origins",
        _entry(),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("at_source", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        _entry_key("entry_origins"),
        sa.PrimaryKeyConstraint("entry_id", name="pk_entry_origins"),
    )
    op.create_table(
        "entry_samples",
        sa.Column("id", sa.Integer(), nullable=False),
        _entry(),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=True),
        sa.Column("file", sa.String(length=100), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("mature", sa.Boolean(), nullable=False),
        _entry_key("entry_samples"),
        sa.PrimaryKeyConstraint("id", name="pk_entry_samples"),
    )
    op.create_index("ix_entry_samples_entry_id", "entry_samples", ["entry_id"])
    op.create_table(
        "favourites",
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        _entry(),
        _entry_key("favourites"),
        sa.PrimaryKeyConstraint("member_id", "entry_id", name="pk_favourites"),
    )
    op.create_table(
        "ratings",
        _entry(),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=True),
        sa.Column("stars", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _entry_key("ratings"),
        sa.PrimaryKeyConstraint("entry_id", "member_id", name="pk_ratings"),
    )
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=True),
        sa.Column("member_id", sa.BigInteger(), nullable=True),
        sa.Column("entry_id", sa.Integer(), nullable=True),
        sa.Column("job_id", sa.String(length=20), nullable=True),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["catalog_entries.id"], name="fk_reports_entry_id_catalog_entries", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_reports_job_id_jobs", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
    )
    op.create_index("ix_reports_guild_id_outcome", "reports", ["guild_id", "outcome"])
    op.create_table(
        "bans",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", "guild_id", name="pk_bans"),
    )
    op.create_table(
        "quarantine",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by_hand", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _file_key("quarantine"),
        sa.PrimaryKeyConstraint("sha256", name="pk_quarantine"),
    )
    op.create_table(
        "adapter_running",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("draws", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("failed_for", sa.JSON(), nullable=False),
        sa.Column("seconds_per_step", sa.Float(), nullable=False),
        sa.Column("base_seconds_per_step", sa.Float(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        _file_key("adapter_running"),
        sa.PrimaryKeyConstraint("sha256", name="pk_adapter_running"),
    )
    op.create_table(
        "settings",
        sa.Column("scope", sa.String(length=40), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pk_settings"),
    )
    op.create_table(
        "base_models",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_base_models"),
    )
    op.create_table(
        "questions",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_questions"),
    )
    op.create_index("ix_questions_expires_at", "questions", ["expires_at"])


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    with op.batch_alter_table("jobs") as jobs:
        for column in reversed(_of_jobs()):
            jobs.drop_column(column.name)
    op.drop_index("ix_catalog_entries_alias_folded", "catalog_entries")
    with op.batch_alter_table("catalog_entries") as entries:
        for column in reversed(_of_entries()):
            entries.drop_column(column.name)


def _entry() -> sa.Column[int]:
    return sa.Column("entry_id", sa.Integer(), nullable=False)


def _entry_key(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_entry_id_catalog_entries"
    return sa.ForeignKeyConstraint(["entry_id"], ["catalog_entries.id"], name=name, ondelete="CASCADE")


def _file_key(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_sha256_adapter_files"
    return sa.ForeignKeyConstraint(["sha256"], ["adapter_files.sha256"], name=name, ondelete="CASCADE")


def _of_entries() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("alias", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("alias_folded", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("weight", sa.Float(), nullable=False, server_default="1"),
        sa.Column("least", sa.Float(), nullable=True),
        sa.Column("most", sa.Float(), nullable=True),
        sa.Column("trigger_policy", sa.String(length=8), nullable=False, server_default="none"),
        sa.Column("chosen", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("description", sa.Text(), nullable=False, server_default=""),
        sa.Column("nsfw", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("real_person", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("credit", sa.Text(), nullable=False, server_default=""),
        sa.Column("license", sa.Text(), nullable=False, server_default=""),
        sa.Column("forked_from", sa.Integer(), nullable=True),
        sa.Column("stars", sa.Float(), nullable=False, server_default="0"),
        sa.Column("ratings", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("favourites", sa.BigInteger(), nullable=False, server_default="0"),
    )


def _of_jobs() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("locale", sa.String(length=10), nullable=False, server_default=""),
        sa.Column("adult", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("mature", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
