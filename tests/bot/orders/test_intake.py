"""The door before the database refuses at once what would be refused inside, and nothing else."""

from __future__ import annotations

import pytest

from bot.orders import PlaceFull, QueueFull
from bot.orders.intake import MEMORY, Intake
from bot.orders.values import Bounds
from tests.fakes import FakeClock


def test_as_many_orders_are_taken_at_once_as_fit() -> None:
    """The next one of that server is refused until one of them is through; other servers have their own room."""
    intake = Intake(Bounds(per_guild=2))
    with intake.taking(1):
        with intake.taking(1):
            with pytest.raises(PlaceFull, match="2 jobs of this server"), intake.taking(1):
                raise AssertionError("it is not let in")
            with intake.taking(2):
                pass
        with intake.taking(1):
            pass


def test_all_servers_together_have_a_bound_too() -> None:
    intake = Intake(Bounds(in_all=1))
    with intake.taking(1), pytest.raises(PlaceFull, match="1 jobs of this bot"), intake.taking(2):
        raise AssertionError("it is not let in")


def test_a_place_that_was_full_counts_as_full_for_a_moment() -> None:
    clock = FakeClock()
    intake = Intake(Bounds(), clock)
    with pytest.raises(PlaceFull), intake.taking(1):
        raise PlaceFull("Full.")
    with pytest.raises(PlaceFull, match=r"Full\."), intake.taking(1):
        raise AssertionError("it is not let in")
    clock.time += MEMORY
    with intake.taking(1):
        pass


def test_what_a_member_alone_is_refused_for_closes_no_door() -> None:
    intake = Intake(Bounds())
    with pytest.raises(QueueFull), intake.taking(1):
        raise QueueFull("You have enough.")
    with intake.taking(1):
        pass
