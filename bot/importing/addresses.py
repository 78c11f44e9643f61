"""Which addresses may be asked: https, the standard port, and machines that belong to everybody.

The rules of the host are checked before a name is looked up, those of the number when a socket to it is made.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from yarl import URL

from .errors import AddressRefused

# What Python calls global and is not: the old 6to4 relays, Azure's way to the host machine, examples (RFC 9637).
_NOT_GLOBAL = tuple(map(ipaddress.ip_network, ("192.88.99.0/24", "168.63.129.16/32", "3fff::/20")))
_GLOBAL_6 = ipaddress.ip_network("2000::/3")  # all that is routed in IPv6
_TUNNELS = tuple(map(ipaddress.ip_network, ("2001::/32", "2002::/16")))  # Teredo and 6to4 carry an IPv4 address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: how a network without IPv4 writes one
_ISATAP = (b"\0\0\x5e\xfe", b"\x02\0\x5e\xfe")  # RFC 5214: the interface's half carries an IPv4 address


@dataclass(frozen=True, slots=True)
class AddressRules:
    """`hosts`: the only ones a plain address may name, with their subdomains; empty allows every public one.
    `origins`: places on this machine that may be asked all the same, as "http://127.0.0.1:8080"; for tests."""

    hosts: tuple[str, ...] = ()
    origins: frozenset[str] = frozenset()

    def check(self, url: URL, *, listed: bool = False) -> None:
        """Raises AddressRefused unless `url` may be asked; with `listed` its host must be on the owner's list."""
        if origin_of(url) in self.origins:
            return
        if url.scheme != "https":
            raise AddressRefused("Only addresses that begin with https:// are asked.")
        if url.user is not None or url.password is not None:
            raise AddressRefused("An address with a name or password in it is not asked.")
        if url.port != 443:
            raise AddressRefused("Only the standard port of https is asked; leave the port away.")
        host = (url.host or "").rstrip(".").lower()
        if not host or "%" in host:
            raise AddressRefused("This address names no host.")
        if _is_number(host) and not is_public(host):
            raise AddressRefused("This address is not on the public internet.")
        if listed and self.hosts and not any(host == name or host.endswith(f".{name}") for name in self.hosts):
            raise AddressRefused(
                f"Files are taken only from {', '.join(self.hosts)} here, besides Civitai and Hugging Face."
            )

    def may_connect(self, address: str, port: int) -> bool:
        """Whether a socket may be made to this number."""
        return is_public(address) or any(_place(origin) == (address, port) for origin in self.origins)


def is_public(address: str) -> bool:
    """Whether an IP address, as a number, belongs to a machine on the public internet."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(ip.packed[12:])))
        if ip not in _GLOBAL_6 or any(ip in tunnel for tunnel in _TUNNELS) or ip.packed[8:12] in _ISATAP:
            return False
    if any(ip in network for network in _NOT_GLOBAL):
        return False
    return ip.is_global and not ip.is_reserved and not ip.is_multicast


def origin_of(url: URL) -> str:
    """Scheme, host and port: where a token belongs."""
    return f"{url.scheme}://{(url.host or '').lower()}:{url.port}"


def shown(url: URL | str) -> str:
    """An address as a member may see it: without its query, which may hold a key."""
    url = URL(url) if isinstance(url, str) else url
    return f"{url.host}{url.path}"[:200]


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _place(origin: str) -> tuple[str, int]:
    url = urlsplit(origin)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
