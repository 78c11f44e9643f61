"""The one seam between whoever orders pictures and whoever makes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from .types import AdapterUse, Attempt, Event, WorkerId, WorkerView

OnEvent = Callable[[Event], Awaitable[None]]


class Fleet(Protocol):
    """Runs attempts on workers and reports events. Every implementation passes tests/engine/test_fleet_contract.py."""

    async def start(self, on_event: OnEvent) -> None:
        """From here on every event of every attempt reaches `on_event`, in order, on this event loop."""

    def workers(self) -> Mapping[WorkerId, WorkerView]:
        """The live workers only. A restarted worker has a new id (name + boot nonce)."""

    async def dispatch(self, worker: WorkerId, attempt: Attempt) -> None:
        """The attempt is with the worker: Done, Dropped, Failed or Lost follows exactly once."""

    async def cancel(self, worker: WorkerId, job: str, attempt: int) -> None:
        """The attempt ends at the next step, if it is still there; otherwise nothing happens."""

    async def pin(self, worker: WorkerId, adapter: AdapterUse) -> str:
        """The adapter is prepared there and leaves its memory no more (`Holds.pinned`). Gives its sha256.

        Between two attempts, so it may take as long as one. Raises AdapterError, or EngineFault where no worker is.
        """

    async def unpin(self, worker: WorkerId, sha256: str) -> None:
        """The adapter may leave that worker's memory like any other. Raises EngineFault where no worker is."""

    async def load(self, worker: WorkerId, adapter: AdapterUse) -> str:
        """The adapter is prepared there, and leaves when others need its place. Gives its sha256.

        As with `pin`, between two attempts. Raises AdapterError, or EngineFault where no worker is.
        """

    async def unload(self, worker: WorkerId, sha256: str) -> None:
        """The adapter is in none of that worker's memory, whether it was before or not; the file stays.

        Raises BadRequest for one that is pinned there, or EngineFault where no worker is.
        """

    async def add_model(self, worker: WorkerId, name: str, source: str) -> None:
        """Requests may name this base model there; it is loaded when the first does. Raises EngineFault."""

    async def remove_model(self, worker: WorkerId, name: str) -> None:
        """There is no base model of that name there; where it was loaded, the default one is.

        Raises BadRequest for the default one, or EngineFault where no worker is.
        """

    async def answers(self, worker: WorkerId, patience: float) -> bool:
        """Whether the worker shows that it lives: idle, by an answer within `patience` seconds; at work, by a step done
        in the time that one may take.
        """

    async def broken(self) -> str:
        """Waits until no worker can ever come back, and gives the reason: only a new process helps then."""

    async def aclose(self) -> None:
        """No worker is there any more, soon, also where one hangs; attempts that were still out are Lost."""
