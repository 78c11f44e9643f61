"""No bytes bring down what reads headers and metadata: short runs of tests.faults.fuzz, and what they reach."""

from __future__ import annotations

from itertools import islice

import pytest

from .fuzz import CORPUS, LEAST, MODULES, TARGETS, branches, changed, corpus


def test_whatever_is_read_is_told_or_refused() -> None:
    """Thousands of files and metadata, kept and changed: no other exception, 95 % of the branches of each module."""
    inputs = [(name, data) for name in TARGETS for data in islice(changed(name, seed=0), len(corpus(name)) + 2000)]
    measured = branches(inputs)
    print(measured)
    assert len(measured) == len(MODULES) + 1
    assert min(measured.values()) >= LEAST, measured


def test_a_fault_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check that sizes are lists of numbers, one of the same inputs raises what is no refusal."""
    monkeypatch.setattr("engine.adapters.header._naturals", lambda value: True)
    with pytest.raises(TypeError):
        list(map(TARGETS["header"].run, islice(changed("header", seed=0), 1000)))


def test_what_is_kept_is_small() -> None:
    """It lies in the repository."""
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 100_000
