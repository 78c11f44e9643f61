"""Members who order all the time, a Discord that loses replies, and the verdict over what they got for it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from bot.views.buttons import Action, JobButton
from tests.wire.http import Injected
from tests.wire.server import Server
from tests.wire.world import Channel, Interaction, Message, Request, User

from .process import rows, strays

FINAL = ("posted", "failed", "cancelled", "dead")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def lossy(rng: random.Random, share: float) -> Callable[[Request], Injected | None]:
    """Weather in which Discord does the work, and that share of its replies is lost on the way, half by RST."""

    def weather(request: Request) -> Injected | None:
        touches = any(part in request.route for part in ("/interactions/", "/webhooks/", "/channels/"))
        if not touches or rng.random() >= share:
            return None
        return Injected("*", rng.choice(["lost", "hung up"]))

    return weather


class Crowd:
    """So many members in so many channels of one server, and what they ordered.

    Discord lets a bot send one message a second to a channel; what ends there is no faster than that.
    """

    def __init__(self, server: Server, rng: random.Random, members: int = 12, channels: int = 1) -> None:
        self.server, self.rng = server, rng
        more = [Channel(f"general-{number}", server.guild.id) for number in range(2, channels + 1)]
        server.guild.channels.extend(more)
        self.channels = [server.channel, *more]
        self.members = [User(f"member{i}") for i in range(members)]
        self.orders: list[Interaction] = []
        self.presses = 0

    async def order(self) -> Interaction:
        """One of them orders a picture or two."""
        about = f"a {self.rng.choice(['red', 'blue', 'green'])} flower, {len(self.orders)}"
        mix = self.rng.choice(["", " <lora:ink:0.5>", " <lora:neon:0.3>"])
        ordered = await self.server.slash(
            "imagine",
            user=self.rng.choice(self.members),
            channel=self.rng.choice(self.channels),
            prompt=about + mix,
            count=self.rng.choice([1, 1, 2]),
        )
        self.orders.append(ordered)
        return ordered

    async def cancel(self) -> None:
        """Somebody presses Cancel on a card that has the button, if there is one."""
        for ordered in self.rng.sample(self.orders[-20:], min(20, len(self.orders))):
            message = ordered.original
            if message is not None and not message.deleted and "Cancel" in message.buttons:
                self.presses += 1
                await self.server.press(message, "Cancel", user=ordered.user)
                return

    @asynccontextmanager
    async def ordering(self, every: float) -> AsyncIterator[None]:
        """They order about every so many seconds, whenever the bot is connected."""

        async def go_on() -> None:
            while True:
                await asyncio.sleep(every * 2 * self.rng.random())
                if self.server.gateway.sessions and self.server.gateway.session.socket is not None:
                    await (self.cancel() if self.rng.random() < 0.1 else self.order())

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def acknowledged(self) -> list[Interaction]:
        """Orders whose member has read that they are in line."""
        return [one for one in self.orders if any("Queued" in str(v) for v in versions(one))]

    async def settled(self, data: Path, timeout: float) -> None:  # noqa: ASYNC109
        """Waits until no job is open any more."""
        async with asyncio.timeout(timeout):
            while any(not row["told"] for row in await asyncio.to_thread(rows, data)):  # noqa: ASYNC110  nobody announces it
                await asyncio.sleep(0.3)

    def verdict(self, data: Path) -> Counter[str]:
        """What went wrong, by name, and under "ended as ..." what went right. The bot does not run meanwhile."""
        found: Counter[str] = Counter()
        known = {row["id"]: row for row in rows(data)}
        for ordered in self.orders:
            job_id = base36(ordered.id)
            row = known.get(job_id)
            acked = ordered in self.acknowledged_set()
            shown = self.ends_of(job_id)
            found["ordered"] += 1
            found["acknowledged"] += acked
            found["refused"] += not acked and ordered.answer is not None
            found["never answered"] += ordered.answer is None
            found["posted twice"] += len(self.ever_posted(job_id)) > 1
            found["ended twice"] += len(shown) > 1
            found["stale answers"] += len(shown) == 1 and self._stale(ordered, shown[0])
            if row is not None:
                found[f"ended as {row['state']}"] += 1
                found["rows that are not over"] += row["state"] not in FINAL or not row["told"]
            if acked:
                state = None if row is None else row["state"]
                found["lost"] += not shown
                found["lost"] += state == "posted" and not self.ever_posted(job_id)
                found["promised and not posted"] += state not in ("posted", "cancelled")
                found["cancelled"] += state == "cancelled"
            elif shown:
                found["shown though never acknowledged"] += 1
                found["shown against Discord's word"] += self._refused(ordered)
        found["cancelled by nobody"] = max(0, found["cancelled"] - self.presses)
        for stray in strays(data):
            found["orphan or missing files"] += 1
            print(f"  {stray}")
        return found

    def acknowledged_set(self) -> set[Interaction]:
        if len(self.orders) != getattr(self, "_counted", -1):
            self._counted, self._acked = len(self.orders), set(self.acknowledged())
        return self._acked

    def ends_of(self, job_id: str) -> list[Message]:
        """The messages on which a member reads how the job ended."""
        return ends_among(self.server.messages, job_id)

    def ever_posted(self, job_id: str) -> list[Message]:
        """The messages that have ever shown the job's pictures."""
        name = f"loraloom-{job_id}-1."
        return [m for m in self.server.messages if any(name in str(v["attachments"]) for v in m.versions)]

    def _refused(self, ordered: Interaction) -> bool:
        """Whether the bot was told that the order has no answer of its, so that its member has ordered again.

        Where nobody tells it, because the replies are lost too, the order goes on: then it is shown, and no harm done.
        """
        asked = (r for r in self.server.requests if ordered.token in r.path and r.method in ("POST", "GET"))
        return ordered.answer is None and any(request.status == 404 for request in asked)

    @staticmethod
    def _stale(ordered: Interaction, end: Message) -> bool:
        first = ordered.original
        return first is not None and first is not end and not first.deleted


BROKEN = (
    "lost",
    "posted twice",
    "ended twice",
    "stale answers",
    "rows that are not over",
    "cancelled by nobody",
    "orphan or missing files",
)
KEPT = (*BROKEN, "promised and not posted", "shown against Discord's word")
"""Where nobody kills the bot: one that is killed may give a job up, or forget what it was just told."""


def versions(ordered: Interaction) -> list[object]:
    return [] if ordered.original is None else [v["components"] for v in ordered.original.versions]


def report(title: str, found: Counter[str], broken: tuple[str, ...] = BROKEN) -> bool:
    """Prints the figures; True when every bar holds: nothing is `broken`, and something was posted at all."""
    print(title)
    for name in sorted(set(found) | set(broken)):
        print(f"  {found[name]:>6,} {name}" + ("   <-- MISSED" if name in broken and found[name] else ""))
    return found["ended as posted"] > 0 and not any(found[name] for name in broken)


def ends_among(messages: list[Message], job_id: str) -> list[Message]:
    """The messages on which a member reads how the job ended."""
    sign = JobButton(Action.AGAIN, job_id).custom_id
    return [m for m in messages if not m.deleted and any(part.get("custom_id") == sign for part in m.parts)]


def base36(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
