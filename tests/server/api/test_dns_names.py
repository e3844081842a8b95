"""DNS names that certificates may carry."""

import pytest

from finial.server.api.dns_names import (
    DnsNameError,
    WildcardOverlapError,
    check_dns_name,
    check_wildcards,
)


@pytest.mark.parametrize("name", ["a", "a.example.org", "*.example.org", "x-1.y_2", "A" * 63])
def test_host_names_and_leading_wildcards_are_taken(name: str) -> None:
    assert check_dns_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "  ", "a..b", ".a", "a.", "-a", "a-", "a b", "a.*.b", "*", "é.org", "A" * 64, "a\n", "/"],
)
def test_everything_else_is_refused(name: str) -> None:
    with pytest.raises(DnsNameError):
        check_dns_name(name)


def test_a_name_longer_than_dns_allows_is_refused() -> None:
    with pytest.raises(DnsNameError, match="exceeds 255"):
        check_dns_name(".".join(["a" * 49] * 6))


def test_a_wildcard_that_covers_another_name_is_refused() -> None:
    with pytest.raises(WildcardOverlapError, match=r"web\.example\.org"):
        check_wildcards(["*.example.org", "web.example.org"])


def test_a_wildcard_covers_one_label_only() -> None:
    check_wildcards(["*.example.org", "a.b.example.org", "example.org"])
