"""The gateway: sessions that outlive their sockets, and the opcodes of Discord's documentation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from .world import Json

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, MEMBERS, INVALID, HELLO, ACK = 0, 1, 2, 6, 7, 8, 9, 10, 11
OTHERS = (3, 4)  # presence, voice
PRIVILEGED = 1 << 1 | 1 << 8 | 1 << 15  # members, presences, message content
GUILDS, GUILD_MESSAGES, DIRECT_MESSAGES = 1 << 0, 1 << 9, 1 << 12
ALL_INTENTS = (1 << 26) - 1


class Closed(Exception):
    """The server closes the socket with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


@dataclass(eq=False)
class Session:
    """What RESUME comes back to. `events` are all it was sent or missed; their number is the sequence."""

    id: str
    intents: int
    identify: Json
    events: list[Json] = field(default_factory=list)
    socket: Socket | None = None
    resumable: bool = True
    resumes: int = 0
    replayed: list[str] = field(default_factory=list)  # names of the events that a RESUME brought


@dataclass(eq=False)
class Socket:
    ws: web.WebSocketResponse
    transport: asyncio.Transport
    deflate: Any  # zlib compressor, or None for text frames
    session: Session | None = None
    beat: float = field(default_factory=time.monotonic)
    kicked: bool = False  # the server ended it

    async def send(self, op: int, d: Json = None, *, s: int | None = None, t: str | None = None) -> None:
        text = json.dumps({"op": op, "d": d, "s": s, "t": t})
        with contextlib.suppress(ConnectionError):
            if self.deflate is None:
                await self.ws.send_str(text)
            else:
                await self.ws.send_bytes(self.deflate.compress(text.encode()) + self.deflate.flush(zlib.Z_SYNC_FLUSH))


class Gateway:
    def __init__(
        self, token: str, ready: Callable[[Session], list[tuple[str, Json]]], changed: Callable[[], None]
    ) -> None:
        self.token = token
        self.url = ""
        self.heartbeat_interval = 41.25  # seconds
        self.compress = True
        self.privileged = 0  # intents that the application was granted
        self.sessions: list[Session] = []
        self.sockets: list[Socket] = []
        self.closes: list[int | None] = []  # the code of every closed socket; None: torn down without one
        self.identifies = self.heartbeats = 0
        self.mute = False  # until the next connection nothing is sent: a zombie
        self.violations: list[str] = []
        self._ready, self._changed = ready, changed
        self._sends: set[asyncio.Task[None]] = set()

    @property
    def resumes(self) -> int:
        return sum(session.resumes for session in self.sessions)

    @property
    def session(self) -> Session:
        """The latest one."""
        return self.sessions[-1]

    # what tests do

    def dispatch(self, event: str, data: Json, intent: int = 0) -> None:
        """Sends an event to every live session that asked for it; a session without a socket gets it on RESUME."""
        for session in self.sessions:
            if session.resumable and (not intent or session.intents & intent):
                self._record(session, event, data)

    def drop(self) -> None:
        """Tears every connection down at once, with a reset and without a close frame."""
        for one in list(self.sockets):
            raw = one.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._detach(one)
            one.transport.abort()

    async def reconnect(self) -> None:
        """Asks every client to reconnect (op 7)."""
        for one in list(self.sockets):
            await one.send(RECONNECT)

    async def invalidate(self, *, resumable: bool = False) -> None:
        """Ends every session (op 9)."""
        for one in list(self.sockets):
            if one.session is not None:
                one.session.resumable = resumable
            await one.send(INVALID, resumable)

    async def close(self, code: int) -> None:
        """Closes every socket from the server's side."""
        for one in list(self.sockets):
            self._detach(one)
            await one.ws.close(code=code)

    # what clients do

    async def handle(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(autoping=True, max_msg_size=4096)
        await ws.prepare(request)
        query = request.query
        if query.get("v") != "10" or query.get("encoding") != "json":
            await ws.close(code=4012)
            return ws
        deflate = zlib.compressobj() if self.compress and query.get("compress") == "zlib-stream" else None
        assert isinstance(request.transport, asyncio.Transport)
        one = Socket(ws, request.transport, deflate)
        self.sockets.append(one)
        self.mute = False
        watch = asyncio.create_task(self._watch(one))
        try:
            await one.send(HELLO, {"heartbeat_interval": int(self.heartbeat_interval * 1000), "_trace": ["wire"]})
            async for message in ws:
                if message.type is not WSMsgType.TEXT:
                    raise Closed(4002, "not text")
                await self._receive(one, message.data)
        except Closed as error:
            self.violations.append(f"gateway: closed with {error}")
            await ws.close(code=error.code, message=error.reason.encode())
        finally:
            watch.cancel()
            if one.session is not None and not one.kicked and ws.close_code in (1000, 1001):
                one.session.resumable = False  # the client said goodbye
            self._detach(one)
            self.closes.append(None if ws.close_code in (None, 1006) else ws.close_code)
            self._changed()
        return ws

    async def _receive(self, one: Socket, text: str) -> None:
        try:
            frame = json.loads(text)
            op, d = frame["op"], frame["d"]
        except (ValueError, KeyError, TypeError):
            raise Closed(4002, "not a payload") from None
        if op == HEARTBEAT:
            one.beat = time.monotonic()
            self.heartbeats += 1
            await asyncio.sleep(0.01)  # as no network is faster; discord.py measures nonsense otherwise
            if not self.mute:
                await one.send(ACK)
        elif op == IDENTIFY:
            await self._identify(one, d)
        elif op == RESUME:
            await self._resume(one, d)
        elif one.session is None:
            raise Closed(4003, "not authenticated")
        elif op == MEMBERS:
            guild = d["guild_id"]
            chunk = {"guild_id": guild, "members": [], "chunk_index": 0, "chunk_count": 1, "nonce": d.get("nonce")}
            self._record(one.session, "GUILD_MEMBERS_CHUNK", chunk)
        elif op not in OTHERS:
            raise Closed(4001, f"unknown opcode {op}")

    async def _identify(self, one: Socket, d: Json) -> None:
        if one.session is not None:
            raise Closed(4005, "already authenticated")
        for key in ("token", "intents", "properties"):
            if key not in d:
                raise Closed(4002, f"IDENTIFY without {key}")
        if d["token"] != self.token:
            raise Closed(4004, "authentication failed")
        if not 0 <= d["intents"] <= ALL_INTENTS:
            raise Closed(4013, "invalid intents")
        if d["intents"] & PRIVILEGED & ~self.privileged:
            raise Closed(4014, "disallowed intents")
        if missing := {"os", "browser", "device"} - d["properties"].keys():
            raise Closed(4002, f"IDENTIFY properties without {missing}")
        self.identifies += 1
        session = Session(f"session{len(self.sessions) + 1}", d["intents"], d)
        self.sessions.append(session)
        one.session, session.socket = session, one
        for event, data in self._ready(session):
            self._record(session, event, data)
        self._changed()

    async def _resume(self, one: Socket, d: Json) -> None:
        if one.session is not None:
            raise Closed(4005, "already authenticated")
        if d["token"] != self.token:
            raise Closed(4004, "authentication failed")
        session = next((s for s in self.sessions if s.id == d["session_id"] and s.resumable), None)
        if session is None:
            await one.send(INVALID, False)
            return
        if not isinstance(d["seq"], int) or not 0 <= d["seq"] <= len(session.events):
            raise Closed(4007, f"invalid seq {d['seq']} of {len(session.events)}")
        one.session, session.socket = session, one
        session.resumes += 1
        for event in session.events[d["seq"] :]:
            session.replayed.append(event["t"])
            self._send(one, event)
        self._record(session, "RESUMED", {"_trace": ["wire"]})
        self._changed()

    # inside

    def _record(self, session: Session, event: str, data: Json) -> None:
        frame = {"s": len(session.events) + 1, "t": event, "d": data}
        session.events.append(frame)
        if session.socket is not None and not self.mute:
            self._send(session.socket, frame)

    def _send(self, one: Socket, frame: Json) -> None:
        """Tasks start in the order they were made, and a small frame is written without a pause: order is kept."""
        task = asyncio.create_task(one.send(DISPATCH, frame["d"], s=frame["s"], t=frame["t"]))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    def _detach(self, one: Socket) -> None:
        if one in self.sockets:
            self.sockets.remove(one)
            one.kicked = True
        if one.session is not None and one.session.socket is one:
            one.session.socket = None

    async def _watch(self, one: Socket) -> None:
        """A client that misses its heartbeat is closed."""
        while True:
            await asyncio.sleep(self.heartbeat_interval / 4)
            if time.monotonic() - one.beat > 1.5 * self.heartbeat_interval:
                self._detach(one)
                await one.ws.close(code=4009)
                return
