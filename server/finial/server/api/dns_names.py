"""DNS names as certificates may carry them."""

from collections.abc import Sequence

from finial.server.registry.validation import complaint_about_dns_name


class DnsNameError(ValueError):
    """A name is not one that a certificate may carry."""


class WildcardOverlapError(ValueError):
    """A wildcard name covers another name of the same certificate."""


def check_dns_name(name: str) -> str:
    """Returns `name`.

    Raises:
        DnsNameError: it is not one.
    """
    complaint = complaint_about_dns_name(name)
    if complaint:
        raise DnsNameError(complaint)
    return name


def check_wildcards(names: Sequence[str]) -> None:
    """Raises WildcardOverlapError when a wildcard covers another of `names`."""
    parents = {name[2:].lower() for name in names if name.startswith("*.")}
    for name in names:
        if not name.startswith("*.") and name.lower().partition(".")[2] in parents:
            raise WildcardOverlapError(name)
