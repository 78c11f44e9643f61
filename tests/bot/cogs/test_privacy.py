"""/privacy, seen from a member."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from tests.bot.worlds import buttons, texts, world


async def test_the_export_is_a_zip_that_only_the_asker_sees(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.drawn("a red flower")
        answer = await w.alice.slash(w.channel, "privacy export")
        followup = (answer.followups or [answer.response])[-1]
        assert followup.ephemeral
        (attachment,) = followup.attachments
        with zipfile.ZipFile(io.BytesIO(await attachment.read())) as archive:
            assert "a red flower" in archive.read("jobs.json").decode()


async def test_delete_asks_once_and_a_yes_leaves_nothing_even_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn("a red flower")
        answer = await w.alice.slash(w.channel, "privacy delete")
        card = answer.response.message
        assert "1 order" in texts(card)
        assert set(buttons(card)) == {"Delete everything", "Keep everything"}
        await w.restart()
        await w.alice.click(card, label="Delete everything")
        assert await w.bot.orders._store.jobs.get(job.id) is None
        assert not list((tmp_path / "pictures").iterdir())
        await w.drawn("as somebody new")


async def test_no_keeps_everything_and_ends_the_question(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn()
        asked = await w.alice.slash(w.channel, "privacy delete")
        await w.alice.click(asked.response.message, label="Keep everything")
        assert "Nothing was deleted." in texts(asked.response.message)
        assert buttons(asked.response.message) == {}
        assert await w.bot.orders._store.jobs.get(job.id) is not None
