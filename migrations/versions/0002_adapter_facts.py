"""What else an adapter file says: alphas, AutoV1, families, training. Files that are there already say nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("adapter_files", sa.Column("more", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    with op.batch_alter_table("adapter_files") as table:
        table.drop_column("more")
