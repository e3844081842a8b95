"""Which addresses a bundle may be fetched from (see docs/adr/0014-web-endpoints.md).

A relationship's URL comes from whoever may create relationships, and its name's addresses from
whoever runs that name's DNS. Neither is to make this server speak with what only this machine or
its hypervisor can reach: loopback, the link's own addresses, metadata services.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PRIVATE_WORD = "private"

_PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
"""RFC 1918, RFC 6598, RFC 4193: allowed unless `private` is denied."""

_REFUSED = {
    ip_network(network): what
    for network, what in {
        "0.0.0.0/8": "unspecified",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local",
        "192.0.0.0/24": "reserved",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "255.255.255.255/32": "broadcast",
        "::/96": "IPv4-compatible",
        "::/128": "unspecified",
        "::1/128": "loopback",
        "64:ff9b:1::/48": "NAT64 of a local prefix",
        "100::/64": "discard-only",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "ff00::/8": "multicast",
        # Where clouds answer any process of a machine: EC2, ECS, Azure, Alibaba, Oracle, GCE.
        "169.254.169.254/32": "metadata service",
        "169.254.170.2/32": "metadata service",
        "168.63.129.16/32": "metadata service",
        "100.100.100.200/32": "metadata service",
        "192.0.0.192/32": "metadata service",
        "fd00:ec2::/32": "metadata service",
        "fd20:ce::254/128": "metadata service",
    }.items()
}

_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Decides by the narrowest network that holds an address; of two alike, a denial.

    Attributes:
        allowed: networks whose addresses may be asked although they are refused by default.
        denied: networks whose addresses may not.
    """

    allowed: tuple[Network, ...] = ()
    denied: tuple[Network, ...] = ()

    @classmethod
    def of(cls, allowed: Iterable[str], denied: Iterable[str]) -> Self:
        """Read networks, addresses, and `private`, which stands for all private networks.

        Raises:
            ValueError: one of them is none of these; the text names it.
        """
        return cls(tuple(_networks(allowed)), tuple(_networks(denied)))

    def complaint(self, address: Address) -> str:
        """Why an address may not be asked; empty when it may.

        An address that leads on to an IPv4 address is judged as that one, too.
        """
        for each in (address, *_within(address)):
            reason = self._reason(each)
            if reason:
                through = "" if each == address else f" within {address}"
                return f"{each}{through} is refused: {reason}"
        return ""

    def _reason(self, address: Address) -> str:
        refusal, width = "", -1
        for network, what in _REFUSED.items():
            if address in network and network.prefixlen > width:
                refusal, width = what, network.prefixlen
        for network in self.allowed:
            if address in network and network.prefixlen >= width:
                refusal, width = "", network.prefixlen
        for network in self.denied:
            if address in network and network.prefixlen >= width:
                refusal, width = "denied_addresses", network.prefixlen
        return refusal


def _within(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that packets to an IPv6 address end up at."""
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:  # RFC 4291 section 2.5.5.2
        yield address.ipv4_mapped
    if address in _NAT64:  # RFC 6052
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _6TO4:  # RFC 3056
        yield IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    if address in _TEREDO:  # RFC 4380: the client's address is inverted
        yield IPv4Address(int(address) >> 64 & 0xFFFF_FFFF)
        yield IPv4Address(~int(address) & 0xFFFF_FFFF)


def _networks(texts: Iterable[str]) -> Iterator[Network]:
    for text in texts:
        yield from _network(text)


def _network(text: str) -> Sequence[Network]:
    if text == PRIVATE_WORD:
        return _PRIVATE
    try:
        return (ip_network(text),)
    except ValueError:
        raise ValueError(f'"{text}" is neither a network nor an address') from None
