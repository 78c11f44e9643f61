"""The HTTP side of every request: parse, fault, rate limit, authorise, judge, answer, judge the answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha1
from typing import TYPE_CHECKING

from aiohttp import web

from . import spec
from .world import Fault, FieldErrors, Json, Request

if TYPE_CHECKING:
    from .server import Server

LIMITS = {  # requests in a window of seconds, by route and major parameter, as Discord is known to have them
    "/channels/{channel_id}/messages": (5, 5.0),
    "/channels/{channel_id}/messages/{message_id}": (5, 5.0),
    "/webhooks/{webhook_id}/{webhook_token}": (5, 2.0),
}
DEFAULT_LIMIT = (50, 1.0)
MAJOR = ("channel_id", "guild_id", "webhook_token", "interaction_token")
WITHOUT_TOKEN = ("/interactions/", "/webhooks/")
Handler = Callable[[Request], tuple[int, Json]]


@dataclass
class Injected:
    """What the next matching requests get instead of their answer. `route` may hold `*`, as in `PATCH */@original`.

    `status`: an HTTP status; "reset" (RST before the work is done), "lost" (RST after it), "hung up" (FIN after it).
    """

    route: str
    status: int | str | None
    times: int = 1
    retry_after: float = 0.3
    is_global: bool = False
    via: bool = True  # without it, discord.py takes a 429 for a ban by Cloudflare
    delay: float = 0.0
    when: Callable[[Request], bool] | None = None

    def takes(self, request: Request) -> bool:
        right = fnmatchcase(request.route, re.sub(r"\[", "[[]", self.route))
        return self.times > 0 and right and (self.when is None or self.when(request))


class Http:
    def __init__(self, server: Server, handlers: dict[str, Handler]) -> None:
        self.server, self.handlers = server, handlers
        self.injected: list[Injected] = []
        self.weather: Callable[[Request], Injected | None] = lambda request: None  # for what nobody injected
        self.limits: dict[str, tuple[int, float]] = dict(LIMITS)
        self.strict = True  # bodies are held against the description; False where only speed counts
        self._windows: dict[str, tuple[int, float]] = {}  # requests so far, monotonic end
        self._spec = spec.load()

    async def handle(self, raw: web.Request) -> web.StreamResponse:
        path = raw.path.removeprefix("/api/v10")
        operation = self._spec.operation(raw.method, path)
        route = operation[0] if operation else f"{raw.method} {path}"
        request = Request(raw.method, path, route, dict(raw.query), dict(raw.headers))
        if operation:
            names = re.findall(r"\{(\w+)\}", route)
            pattern = re.sub(r"\{\w+\}", "([^/]+)", route.split(" ")[1])
            found = re.fullmatch(pattern, path)
            request.parameters = dict(zip(names, found.groups() if found else (), strict=True))
        try:
            await self._read(raw, request)
        except Fault as fault:
            self._complain(request, str(fault))
        self.server.requests.append(request)
        injected = next((one for one in self.injected if one.takes(request)), None)
        if injected is not None:
            injected.times -= 1
        else:
            injected = self.weather(request)
        if injected is not None:
            await asyncio.sleep(injected.delay)
            if isinstance(injected.status, int):
                return self._answer(request, *self._injected(injected))
            if injected.status == "reset":
                return self._cut(raw, request, "reset")
        status, body, headers = self._process(request)
        if injected is not None and injected.status in ("lost", "hung up"):
            request.answer = body
            return self._cut(raw, request, injected.status)
        return self._answer(request, status, body, headers)

    def _process(self, request: Request) -> tuple[int, Json, dict[str, str]]:
        headers, wait = self._rate(request)
        if wait is not None:
            return self._limited(wait, is_global=False, headers=headers)
        try:
            status, body = self._handled(request)
        except Fault as fault:
            if fault.code == 50035:
                self._complain(request, str(fault))
            status, body = fault.status, fault.body
        except Exception as error:  # noqa: BLE001 - a fault of ours must fail the test, and at once
            self._complain(request, f"the loopback Discord itself failed: {error!r}")
            return 400, {"message": "failed", "code": 0}, headers
        if self.strict and request.route in self.handlers:
            for complaint in self._spec.response(request.route, status, body):
                self._complain(request, f"our own answer {status}: {complaint}")
        return status, body, headers

    def _handled(self, request: Request) -> tuple[int, Json]:
        token = request.headers.get("Authorization", "")
        if not request.path.startswith(WITHOUT_TOKEN) and token != f"Bot {self.server.token}":
            raise Fault(401, 0, "401: Unauthorized")
        if request.route not in self.handlers:
            self._complain(request, "the loopback Discord has no such route")
            raise Fault(404, 0, "404: Not Found")
        errors = FieldErrors()
        for complaint in self._spec.request(request.route, request.query, request.json) if self.strict else ():
            errors.add(complaint.path, complaint.rule.upper(), complaint.text)
        errors.raise_any()
        return self.handlers[request.route](request)

    async def _read(self, raw: web.Request, request: Request) -> None:
        if raw.content_type.startswith("multipart/"):
            await self._read_parts(raw, request)
            return
        body = await raw.read()
        if not body:
            return
        if raw.content_type != "application/json":
            raise Fault(400, 50035, f"a body of type {raw.content_type}")
        request.json = json.loads(body)

    async def _read_parts(self, raw: web.Request, request: Request) -> None:
        async for part in await raw.multipart():
            name, data = part.name or "", bytes(await part.read())  # type: ignore[union-attr]
            number = re.fullmatch(r"files\[(\d+)\]", name)
            if name == "payload_json":
                request.json = json.loads(data)
            elif number is None or int(number[1]) in request.files:
                raise Fault(400, 50035, f"a part named {name!r}, twice or unknown")
            elif not part.filename:  # type: ignore[union-attr]
                raise Fault(400, 50035, f"{name} has no filename")
            else:
                request.files[int(number[1])] = (part.filename, data)  # type: ignore[union-attr]
        if len(request.files) > 10:
            raise Fault(400, 50035, f"{len(request.files)} files")

    def _rate(self, request: Request) -> tuple[dict[str, str], float | None]:
        template = request.route.split(" ")[1]
        limit, seconds = self.limits.get(request.route) or self.limits.get(template) or DEFAULT_LIMIT
        major = "/".join(value for key, value in request.parameters.items() if key in MAJOR)
        key, now = f"{request.route}:{major}", time.monotonic()
        used, end = self._windows.get(key, (0, 0.0))
        if now >= end:
            used, end = 0, now + seconds
        self._windows[key] = (used + 1, end)
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - used - 1)),
            "X-RateLimit-Reset": f"{time.time() + end - now:.3f}",
            "X-RateLimit-Reset-After": f"{end - now:.3f}",
            "X-RateLimit-Bucket": sha1(request.route.encode()).hexdigest(),
        }
        return headers, (end - now if used >= limit else None)

    def _injected(self, injected: Injected) -> tuple[int, Json, dict[str, str]]:
        if injected.status == 429:
            answer = self._limited(injected.retry_after, is_global=injected.is_global, headers={})
            if not injected.via:
                del answer[2]["Via"]
            return answer
        assert isinstance(injected.status, int)
        return injected.status, {"message": f"{injected.status}: injected", "code": 0}, {}

    @staticmethod
    def _limited(wait: float, *, is_global: bool, headers: dict[str, str]) -> tuple[int, Json, dict[str, str]]:
        body = {"message": "You are being rate limited.", "retry_after": wait, "global": is_global, "code": 0}
        more = {"Via": "1.1 google", "Retry-After": str(int(wait) + 1), "X-RateLimit-Scope": "user"}
        if is_global:
            more |= {"X-RateLimit-Scope": "global", "X-RateLimit-Global": "true"}
        return 429, body, headers | more

    def _answer(self, request: Request, status: int, body: Json, headers: dict[str, str]) -> web.Response:
        request.status, request.answer = status, body
        if "X-RateLimit-Limit" not in headers and status < 500:
            headers = self._rate(request)[0] | headers
        self.server.changed()
        if body is None:
            return web.Response(status=status, headers=headers)
        text = json.dumps(body).encode()  # as bytes: discord.py wants application/json without a charset
        return web.Response(status=status, body=text, headers=headers, content_type="application/json")

    def _cut(self, raw: web.Request, request: Request, what: str) -> web.Response:
        """The connection ends without an answer: with a FIN when `what` is "hung up", else with a RST."""
        request.status = what
        self.server.changed()
        if raw.transport is not None and what == "hung up":
            raw.transport.close()
        elif raw.transport is not None:
            with contextlib.suppress(OSError):
                raw.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            raw.transport.abort()
        return web.Response()

    def _complain(self, request: Request, text: str) -> None:
        self.server.complain(f"{request.method} {request.path}: {text}")
