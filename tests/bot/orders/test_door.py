"""The door before the database refuses at once what would be refused inside, and nothing else."""

from __future__ import annotations

import pytest

from bot.orders import PlaceFull, QueueFull
from bot.orders.door import MEMORY, Door
from bot.orders.values import Bounds
from tests.fakes import FakeClock


def test_as_many_orders_are_taken_at_once_as_fit() -> None:
    """The next one of that server is refused until one of them is through; other servers have their own room."""
    door = Door(Bounds(per_guild=2))
    with door.taking(1):
        with door.taking(1):
            with pytest.raises(PlaceFull, match="2 jobs of this server"), door.taking(1):
                raise AssertionError("it is not let in")
            with door.taking(2):
                pass
        with door.taking(1):
            pass


def test_all_servers_together_have_a_bound_too() -> None:
    door = Door(Bounds(in_all=1))
    with door.taking(1), pytest.raises(PlaceFull, match="1 jobs of this bot"), door.taking(2):
        raise AssertionError("it is not let in")


def test_a_place_that_was_full_counts_as_full_for_a_moment() -> None:
    clock = FakeClock()
    door = Door(Bounds(), clock)
    with pytest.raises(PlaceFull), door.taking(1):
        raise PlaceFull("Full.")
    with pytest.raises(PlaceFull, match=r"Full\."), door.taking(1):
        raise AssertionError("it is not let in")
    clock.time += MEMORY
    with door.taking(1):
        pass


def test_what_a_member_alone_is_refused_for_closes_no_door() -> None:
    door = Door(Bounds())
    with pytest.raises(QueueFull), door.taking(1):
        raise QueueFull("You have enough.")
    with door.taking(1):
        pass
