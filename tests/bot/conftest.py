"""Every test of the bot starts with the configuration that nobody has changed."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "DATA", "TOKEN", "DISCORD_API"):
        monkeypatch.delenv(f"LORALOOM_{name}", raising=False)
