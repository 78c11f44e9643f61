"""Every way to name an adapter, and what becomes of it: the table that `python -m tests.bot.importing.table` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from .table import ROWS, Row, outcome


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group}: {row.typed} {row.note}".strip())
async def test_a_source_ends_as_the_table_says(row: Row, tmp_path: Path) -> None:
    what, sentence = await outcome(row, tmp_path)
    assert what == row.outcome, sentence
    assert sentence
