"""Servers on this machine that play the outside: a raw one that can misbehave in any way, Civitai, and the Hub."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Call:
    """One request to a raw server: the first is number 0."""

    number: int
    head: str
    writer: asyncio.StreamWriter
    server: RawServer

    def header(self, name: str) -> str:
        lines = dict(line.lower().split(": ", 1) for line in self.head.split("\r\n")[1:] if ": " in line)
        return lines.get(name.lower(), "")

    async def send(self, data: bytes) -> None:
        self.server.sent += len(data)
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"", status: str = "200 OK", **headers: str) -> None:
        """A whole answer; Content-Length is right unless `headers` says otherwise (None leaves it away)."""
        lines = {"Content-Length": str(len(body)), "Connection": "close"}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        await self.send(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)

    async def breaks_off(self, body: bytes, status: str = "200 OK", **headers: str) -> None:
        """The same, of which the other side has time to read before the connection ends."""
        await self.answer(body, status, **headers)
        await asyncio.sleep(0.1)


Script = Callable[[Call], Awaitable[None]]


@dataclass
class RawServer:
    script: Script
    calls: list[Call] = field(default_factory=list)
    sent: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            call = Call(len(self.calls), head.decode("latin-1"), writer, self)
            self.calls.append(call)
            await self.script(call)
            writer.close()
            await writer.wait_closed()
        writer.transport.abort()


@asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[RawServer]:
    served = RawServer(script)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(served.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the round after


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    """The address at which `app` answers."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Cdn:
    """Where the sites send a download on to: another origin, which must never see a token."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.seen: list[web.Request] = []
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{name}", self._file)
        return app

    async def _file(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if request.query.get("signature") != "s%2F1":
            return web.Response(status=403)
        body = self.files[request.match_info["name"]]
        name = f'attachment; filename="{request.match_info["name"]}"'
        return web.Response(body=body, headers={"ETag": '"v1"', "Content-Disposition": name})


class FakeCivitai:
    """/api/v1 and downloads as in developer.civitai.com; `refuse[path]` answers with an error instead."""

    def __init__(self, cdn: Cdn, file: bytes) -> None:
        self.cdn = cdn
        self.file = file
        self.url = ""
        self.seen: list[web.Request] = []
        self.refuse: dict[str, list[tuple[int, dict[str, Any], dict[str, str]]]] = {}
        digest = hashlib.sha256(file).hexdigest()
        self.hashes = {
            "SHA256": digest.upper(),
            "AutoV2": digest[:10].upper(),
            "AutoV3": tensor_hash(file)[:12].upper(),
        }
        self.version: dict[str, Any] = {
            "id": 67890,
            "modelId": 12345,
            "name": "v2",
            "baseModel": "SD 1.5",
            "status": "Published",
            "nsfwLevel": 1,
            "usageControl": "Download",
            "availability": "Public",
            "trainedWords": ["ink style", "brush"],
            "model": {"name": "Ink", "type": "LORA", "nsfw": False, "poi": False, "mode": None},
            "files": [self._data(), self._file()],
            "images": [
                {"url": "PLACE/sample.png", "type": "image", "nsfwLevel": 1, "width": 8, "height": 8},
                {"url": "PLACE/movie.mp4", "type": "video", "nsfwLevel": 1},
                {"url": "PLACE/mature.png", "type": "image", "nsfwLevel": 8},
            ],
        }
        self.model: dict[str, Any] = {
            "id": 12345,
            "name": "Ink",
            "type": "LORA",
            "nsfw": False,
            "poi": False,
            "mode": None,
            "description": "<p>Ink on <b>paper</b>.</p><script>steal()</script>",
            "allowNoCredit": False,
            "allowCommercialUse": ["Image", "RentCivit"],
            "allowDerivatives": True,
            "allowDifferentLicense": False,
            "tags": ["style", "ink"],
            "creator": {"username": "brushmaker"},
            "modelVersions": [{"id": 67890, "name": "v2"}, {"id": 67889, "name": "v1"}],
        }

    def _data(self) -> dict[str, Any]:
        return {"id": 1, "name": "photos.zip", "type": "Training Data", "sizeKB": 10.0, "metadata": {}, "hashes": {}}

    def _file(self) -> dict[str, Any]:
        return {
            "id": 2,
            "name": "ink.safetensors",
            "type": "Model",
            "sizeKB": len(self.file) / 1024,
            "metadata": {"format": "SafeTensor", "size": None, "fp": None},
            "pickleScanResult": "Success",
            "virusScanResult": "Success",
            "scannedAt": "2026-08-01T00:00:00.000Z",
            "hashes": dict(self.hashes),
            "primary": True,
        }

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/v1/models/{id}", self._model)
        app.router.add_get("/api/v1/model-versions/{id:\\d+}", self._version)
        app.router.add_get("/api/v1/model-versions/by-hash/{hash}", self._by_hash)
        app.router.add_get("/api/download/models/{id}", self._download)
        return app

    def _refused(self, request: web.Request) -> web.Response | None:
        self.seen.append(request)
        waiting = next((found for part, found in self.refuse.items() if part in request.path and found), None)
        if not waiting:
            return None
        status, body, headers = waiting.pop(0)
        return web.json_response(body, status=status, headers=headers)

    def _json(self, value: dict[str, Any]) -> web.Response:
        return web.Response(text=json.dumps(value).replace("PLACE", self.cdn.url), content_type="application/json")

    async def _model(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        if request.match_info["id"] != str(self.model["id"]):
            return web.json_response({"error": "No model with id"}, status=404)
        return self._json(self.model)

    async def _version(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        if request.match_info["id"] != str(self.version["id"]):
            return web.json_response({"error": "Model not found"}, status=404)
        return self._json(self.version)

    async def _by_hash(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        if request.match_info["hash"].upper() not in self.hashes.values():
            return web.json_response({"error": "Model not found"}, status=404)
        return self._json(self.version)

    async def _download(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        location = f"{self.cdn.url}/ink.safetensors?signature=s%252F1"
        return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-store"})


class FakeHub:
    """The Hub's model API and resolve, with its X-Error-Code; `refuse[path]` answers with an error instead."""

    def __init__(self, cdn: Cdn, file: bytes) -> None:
        self.cdn = cdn
        self.url = ""
        self.seen: list[web.Request] = []
        self.refuse: dict[str, list[tuple[int, str, dict[str, str]]]] = {}
        self.commit = "c0ffee" + "0" * 34
        self.readme = "---\nlicense: mit\n---\n# Ink\n\nA *brush*. ![x](y.png)"
        self.info: dict[str, Any] = {
            "id": "maker/ink",
            "sha": self.commit,
            "gated": False,
            "tags": ["lora", "base_model:adapter:stable-diffusion-v1-5/stable-diffusion-v1-5"],
            "cardData": {
                "license": "creativeml-openrail-m",
                "base_model": "stable-diffusion-v1-5/stable-diffusion-v1-5",
                "instance_prompt": "ink style",
                "widget": [{"text": "a cat", "output": {"url": "sample.png"}}],
            },
            "securityRepoStatus": {"scansDone": True, "filesWithIssues": []},
            "siblings": [
                {"rfilename": "README.md", "size": 10, "blobId": "1"},
                self.sibling("pytorch_lora_weights.safetensors", file),
            ],
        }

    @staticmethod
    def sibling(name: str, file: bytes) -> dict[str, Any]:
        lfs = {"size": len(file), "sha256": hashlib.sha256(file).hexdigest(), "pointerSize": 130}
        return {"rfilename": name, "size": len(file), "blobId": "2", "lfs": lfs}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{name}/revision/{revision}", self._info)
        app.router.add_get("/{owner}/{name}/resolve/{revision}/{path:.+}", self._resolve)
        return app

    def _refused(self, request: web.Request) -> web.Response | None:
        self.seen.append(request)
        waiting = next((found for part, found in self.refuse.items() if part in request.path and found), None)
        if not waiting:
            return None
        status, code, headers = waiting[0]
        return web.json_response({}, status=status, headers={"X-Error-Code": code} | headers if code else headers)

    async def _info(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        if f"{request.match_info['owner']}/{request.match_info['name']}" != self.info["id"]:
            return web.json_response({}, status=401, headers={"X-Error-Code": "RepoNotFound"})
        if request.match_info["revision"] not in ("main", "v1", self.commit):
            return web.json_response({}, status=404, headers={"X-Error-Code": "RevisionNotFound"})
        return web.json_response(self.info)

    async def _resolve(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        path = request.match_info["path"]
        if path == "README.md":
            return web.Response(text=self.readme)
        if path.endswith(".png"):
            return web.Response(status=302, headers={"Location": f"{self.cdn.url}/sample.png?signature=s%252F1"})
        return web.Response(status=302, headers={"Location": f"{self.cdn.url}/ink.safetensors?signature=s%252F1"})


def tensor_hash(file: bytes) -> str:
    return hashlib.sha256(file[8 + int.from_bytes(file[:8], "little") :]).hexdigest()
