"""Which addresses a bundle may be fetched from."""

from ipaddress import ip_address

import pytest

from finial.server.federation.addresses import AddressPolicy

DEFAULT = AddressPolicy()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("ff02::1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("192.0.0.8", "reserved"),
        ("169.254.169.254", "metadata service"),
        ("169.254.170.2", "metadata service"),
        ("168.63.129.16", "metadata service"),
        ("100.100.100.200", "metadata service"),
        ("192.0.0.192", "metadata service"),
        ("fd00:ec2::254", "metadata service"),
        ("fd20:ce::254", "metadata service"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("64:ff9b:1::1", "NAT64 of a local prefix"),
        ("100::1", "discard-only"),
    ],
)
def test_what_only_this_machine_or_its_hypervisor_can_reach_is_refused(
    address: str, kind: str
) -> None:
    assert DEFAULT.complaint(ip_address(address)).endswith(f"is refused: {kind}")


@pytest.mark.parametrize(
    ("address", "inner"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:169.254.169.254", "169.254.169.254"),
        ("64:ff9b::7f00:1", "127.0.0.1"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
        ("2002:7f00:1::1", "127.0.0.1"),
        ("2001:0:7f00:1::1", "127.0.0.1"),
        ("2001:0:808:808:0:0:80ff:fffe", "127.0.0.1"),
    ],
)
def test_an_address_that_leads_on_to_a_refused_one_is_refused(address: str, inner: str) -> None:
    assert DEFAULT.complaint(ip_address(address)).startswith(f"{inner} within ")


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "fd12::1",
        "2606:4700::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
def test_public_and_private_addresses_may_be_asked(address: str) -> None:
    assert DEFAULT.complaint(ip_address(address)) == ""


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"]
)
def test_private_ones_can_be_denied_together(address: str) -> None:
    policy = AddressPolicy.of([], ["private"])
    assert policy.complaint(ip_address(address)).endswith("is refused: denied_addresses")
    assert policy.complaint(ip_address("::ffff:10.1.2.3"))
    assert not policy.complaint(ip_address("8.8.8.8"))


def test_the_narrowest_network_decides_and_of_two_alike_the_denial() -> None:
    policy = AddressPolicy.of(["127.0.0.1", "10.1.0.0/16", "10.9.9.9"], ["private", "10.9.9.9/32"])
    assert not policy.complaint(ip_address("127.0.0.1"))
    assert policy.complaint(ip_address("127.0.0.2"))
    assert not policy.complaint(ip_address("10.1.2.3"))
    assert policy.complaint(ip_address("10.2.2.3"))
    assert policy.complaint(ip_address("10.9.9.9"))


def test_to_allow_everything_in_general_allows_nothing_that_is_refused_in_particular() -> None:
    policy = AddressPolicy.of(["0.0.0.0/0", "::/0"], [])
    assert policy.complaint(ip_address("127.0.0.1"))
    assert policy.complaint(ip_address("::1"))


def test_an_allowed_translation_still_does_not_lead_to_a_refused_address() -> None:
    policy = AddressPolicy.of(["64:ff9b::/96"], [])
    assert policy.complaint(ip_address("64:ff9b::7f00:1"))


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.1/8", "1.2.3.4/33", "privat"])
def test_what_is_no_network_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is neither a network nor an address"):
        AddressPolicy.of([text], [])
