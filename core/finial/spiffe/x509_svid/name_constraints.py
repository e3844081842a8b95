"""Name constraints (RFC 5280 section 4.2.1.10), for the forms of name that occur in SVIDs.

URI, DNS and IP names are judged. Any other form that a CA constrains and a certificate below it has
(a directory name with a subject, say) makes the chain refused: section 4.2.1.10 leaves only that to
a validator that does not process the form. A trust anchor's constraints count like any CA's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography import x509

from finial.spiffe import certificate
from finial.spiffe.errors import X509SvidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def check(ca: x509.Certificate, below: Iterable[x509.Certificate]) -> None:
    """Hold every certificate below a CA against the CA's name constraints.

    Raises:
        X509SvidError: a name is not permitted, is excluded, or cannot be judged.
    """
    found = certificate.extension(ca, x509.NameConstraints)
    if found is None:
        return
    for cert in below:
        for name in _names_of(cert):
            _check_name(name, found.value)


def _names_of(cert: x509.Certificate) -> list[x509.GeneralName]:
    sans = certificate.extension(cert, x509.SubjectAlternativeName)
    names: list[x509.GeneralName] = list(sans.value) if sans else []
    if cert.subject.rdns:
        names.append(x509.DirectoryName(cert.subject))
    return names


def _check_name(name: x509.GeneralName, constraints: x509.NameConstraints) -> None:
    kind = type(name)
    permitted = [tree for tree in constraints.permitted_subtrees or () if type(tree) is kind]
    excluded = [tree for tree in constraints.excluded_subtrees or () if type(tree) is kind]
    if not permitted and not excluded:
        return
    within = _WITHIN.get(kind)
    if within is None:
        raise X509SvidError("a CA constrains a kind of name that cannot be judged")
    if any(within(name.value, tree.value) for tree in excluded):
        raise X509SvidError("a name is excluded by a CA's name constraints")
    if permitted and not any(within(name.value, tree.value) for tree in permitted):
        raise X509SvidError("a name is not permitted by a CA's name constraints")


def _uri_within(uri: str, tree: str) -> bool:
    """Host compared; a tree with a leading dot holds all hosts below it, not itself."""
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        host = None
    if not host:
        raise X509SvidError("a CA constrains URIs and a URI has no host")
    if tree.startswith("."):
        return host.endswith(tree.lower())
    return host == tree.lower()


def _dns_within(name: str, tree: str) -> bool:
    """A tree holds itself and all names below it; one with a leading dot only those below."""
    name, tree = name.lower(), tree.lower()
    if tree.startswith("."):
        return name.endswith(tree)
    return not tree or name == tree or name.endswith("." + tree)


def _ip_within(address: Any, network: Any) -> bool:
    """Never true of the two versions of IP."""
    return address in network


_WITHIN: dict[type, Callable[[Any, Any], bool]] = {
    x509.UniformResourceIdentifier: _uri_within,
    x509.DNSName: _dns_within,
    x509.IPAddress: _ip_within,
}
