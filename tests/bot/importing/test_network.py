"""Where the client goes, and where nothing makes it go (bar B4)."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bot.importing import AddressRefused, AddressRules, ImportRefused, Network, is_public
from bot.importing.network import Token

from .conftest import BOUNDS
from .servers import Call, RawServer, raw_server

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.254 127.0.0.1 127.1.2.3 169.254.0.1
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 168.63.129.16
    :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 ::8.8.8.8 64:ff9b::7f00:1 64:ff9b::a00:1
    64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1
    2001:db8::1 2002:7f00:1:: 2002:c0a8:1:: 2002:808:808:: fc00::1 fd00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1
    ff02::1 ff0e::1 2600:1f18::5efe:10.0.0.1 2600:1f18::200:5efe:a00:1 3fff::1 4000::1 5f00::1
""".split()
PUBLIC = "1.1.1.1 8.8.8.8 93.184.216.34 172.32.0.1 100.128.0.1 2606:4700::1111 2a00:1450::200e 64:ff9b::808:808".split()


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_machine_of_our_own_is_public(address: str) -> None:
    assert not is_public(address)
    assert not AddressRules().may_connect(address, 443)


@pytest.mark.parametrize("address", PUBLIC)
def test_machines_of_everybody_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", ["", "x", "1.2.3", "0x7f.1", "2130706433", "127.1", "017700000001", "[::1]"])
def test_what_is_no_address_in_its_plain_form_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.fixture
async def trap() -> AsyncIterator[RawServer]:
    """A server on this machine that nothing may reach."""

    async def script(call: Call) -> None:
        await call.answer(b"secret")

    async with raw_server(script) as server:
        yield server


class Says(AbstractResolver):
    """Answers with the given addresses, one list after the other; the last for ever."""

    def __init__(self, port: int, *answers: list[str]) -> None:
        self.port = port
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        now = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=self.port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in now
        ]

    async def close(self) -> None:
        pass


HOSTS = [f"[{address}]" if ":" in address else address for address in NOT_PUBLIC if "%" not in address]
WRITTEN = """
    https://2130706433/ https://0x7f000001/ https://0177.0.0.1/ https://127.1/ https://127.0.0.1./ https://0/
    https://localhost/ https://LOCALHOST./ https://%31%32%37.0.0.1/ https://user@127.0.0.1/ https://a:b@example.com/
    https://example.com:8443/ http://example.com/ ftp://example.com/ file:///etc/passwd gopher://x/ //example.com/x
    javascript:alert(1) data:text/plain,x https:///x https://[::1%25lo]/ https://[fe80::1%25eth0]/ https://①②⑦.0.0.1/
    https://127。0。0。1/ https://localhost%00.example.com/ https://exa_mple..com/ x
""".split()


@pytest.mark.parametrize("address", [f"https://{host}/x" for host in HOSTS] + WRITTEN)
async def test_an_address_of_our_own_is_never_asked_however_it_is_written(address: str, trap: RawServer) -> None:
    """Names that are written unlike names are looked up as whatever they are; here that is this machine."""
    resolver = Says(trap.port, ["127.0.0.1"])
    async with Network(AddressRules(), BOUNDS, resolver) as network:
        with pytest.raises(ImportRefused) as refusal:
            await network.small(address)
    assert trap.calls == []
    assert "127.0.0.1" not in str(refusal.value) or "127.0.0.1" in address


@pytest.mark.parametrize("address", [f"https://{host}/x" for host in HOSTS[::4]] + WRITTEN[:8])
async def test_a_redirect_leads_to_none_either(address: str, trap: RawServer) -> None:
    async def script(call: Call) -> None:
        await call.answer(status="302 Found", Location=address)

    async with raw_server(script) as outside:
        rules = AddressRules(origins=frozenset({outside.url}))
        async with Network(rules, BOUNDS, Says(trap.port, ["127.0.0.1"])) as network:
            with pytest.raises(ImportRefused):
                await network.small(f"{outside.url}/x")
        assert len(outside.calls) == 1
    assert trap.calls == []


@pytest.mark.parametrize(
    "answers",
    [
        [["127.0.0.1"]],
        [["8.8.8.8", "127.0.0.1"]],
        [["127.0.0.1", "8.8.8.8"]],
        [["::ffff:127.0.0.1"]],
        [["10.0.0.7"]],
        [["2606:4700::1111", "::1"]],
        [["169.254.169.254"]],
    ],
    ids=str,
)
async def test_a_name_with_one_address_of_our_own_does_not_exist(answers: list[list[str]], trap: RawServer) -> None:
    async with Network(AddressRules(), BOUNDS, Says(trap.port, *answers)) as network:
        with pytest.raises(AddressRefused, match=r"^rebind\.example is not on the public internet\.$"):
            await network.small("https://rebind.example/x")
    assert trap.calls == []


async def test_a_name_that_changes_between_two_questions_is_checked_each_time(trap: RawServer) -> None:
    """What is connected to is what was checked: the name is looked up once a connection."""
    resolver = Says(trap.port, ["192.0.2.1"], ["127.0.0.1"])
    async with Network(AddressRules(), BOUNDS, resolver) as network:
        for _ in range(3):
            with pytest.raises(AddressRefused):
                await network.small("https://rebind.example/x")
    assert resolver.asked == 3
    assert trap.calls == []


async def test_the_socket_itself_refuses_what_passed_the_resolver(trap: RawServer) -> None:
    """The wall behind: a name that was good when it was checked connects to nothing else."""
    rules = AddressRules(origins=frozenset({f"http://127.0.0.1:{trap.port}"}))
    async with Network(rules, BOUNDS) as network:
        network.rules = AddressRules()
        with pytest.raises(PermissionError):
            network._socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", trap.port)))
        with pytest.raises(AddressRefused):
            await network.small(trap.url)
    assert trap.calls == []


async def test_what_surrounds_the_bot_is_not_asked_to_help(trap: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment would connect on our behalf, past every check."""
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, trap.url)
    async with Network(AddressRules(), BOUNDS, Says(trap.port, ["127.0.0.1"])) as network:
        with pytest.raises(ImportRefused):
            await network.small("https://example.com/")
    assert trap.calls == []


def test_the_owner_s_list_holds_for_the_address_and_its_subdomains() -> None:
    rules = AddressRules(hosts=("example.com",))
    for address in ("https://example.com/x", "https://cdn.example.com/x"):
        rules.check(URL(address), listed=True)
    for address in ("https://example.org/", "https://badexample.com/", "https://example.com.evil.org/"):
        with pytest.raises(AddressRefused, match=r"only from example\.com here"):
            rules.check(URL(address), listed=True)
        rules.check(URL(address))  # where an allowed address leads to


async def test_a_redirect_is_followed_as_it_is_written() -> None:
    """A signed address is not quoted anew."""

    async def script(call: Call) -> None:
        if call.number == 0:
            await call.answer(status="302 Found", Location="/there?sig=a%2Fb%3D&x=%41+c")
        else:
            await call.answer(call.head.split()[1].encode())

    async with raw_server(script) as server, Network(AddressRules(origins=frozenset({server.url})), BOUNDS) as network:
        answer = await network.small(f"{server.url}/here")
    assert answer.body == b"/there?sig=a%2Fb%3D&x=%41+c"


async def test_questions_carry_no_cookies_and_ask_for_plain_bytes() -> None:
    async def script(call: Call) -> None:
        await call.answer(b"x", Set_Cookie="canary=1; Path=/")

    async with raw_server(script) as server, Network(AddressRules(origins=frozenset({server.url})), BOUNDS) as network:
        for _ in range(2):
            await network.small(server.url)
        assert [call.header("cookie") for call in server.calls] == ["", ""]
        assert server.calls[0].header("accept-encoding") == "identity"


def test_nothing_in_the_bot_goes_out_past_this_client() -> None:
    """discord.py has a client of its own; everything else that opens connections is named here."""
    root = Path(__file__).parents[3] / "bot"
    words = re.compile(
        r"ClientSession\(|urlopen|requests\.|httpx|create_connection|hf_hub_download|torch\.load|pickle\."
    )
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if words.search(path.read_text("utf-8"))}
    assert found <= {"importing/network.py", "health.py", "doctor.py"}, found  # 127.0.0.1 alone; Discord alone


def test_a_token_does_not_show() -> None:
    token = Token.of("https://civitai.com", "canary")
    assert "canary" not in repr(token)
    assert Token.of("https://civitai.com", "") is None
