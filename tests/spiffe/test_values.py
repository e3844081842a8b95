"""The values of finial.spiffe: what was judged once cannot be changed afterwards."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING, Any

import pytest

import finial.spiffe
from finial.spiffe import jwt_svid, wit_svid
from finial.spiffe.bundle import JwtAuthority, X509Authority, writing
from finial.spiffe.federation import Relationship
from finial.spiffe.x509_svid import X509Svid, lint_authority, lint_leaf
from tests.fakes.ca import NOW, FakeCa

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = {
    f"{value.__module__}.{value.__qualname__}": value
    for found in pkgutil.walk_packages(finial.spiffe.__path__, "finial.spiffe.")
    for value in vars(importlib.import_module(found.name)).values()
    if inspect.isclass(value)
    and dataclasses.is_dataclass(value)
    and value.__module__.startswith("finial.spiffe.")
}
# What a reader and a search fill as they go; they stay inside of the function that makes them.
WORKING = {"finial.spiffe.bundle.reading.Document", "finial.spiffe.x509_svid.path._Search"}


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - WORKING))
def test_a_value_cannot_be_changed(name: str) -> None:
    kind = CLASSES[name]
    value = object.__new__(kind)
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_value_holds_no_other_attributes(name: str) -> None:
    assert not hasattr(object.__new__(CLASSES[name]), "__dict__")


# What a value's text leaves out: secrets, and bytes that nobody can read. Of all other values
# the text is the whole.
HIDDEN = {
    "bundle.authority.JwtAuthority": {"public_key", "spki_der"},
    "bundle.authority.WitAuthority": {"public_key", "spki_der"},
    "bundle.authority._KeyAuthority": {"public_key", "spki_der"},
    "bundle.authority.X509Authority": {"cert", "der"},
    "federation.bundle_url.BundleUrl": {"host", "port", "target"},
    "jwt_svid.svid.JwtSvid": {"claims"},
    "spiffe_id.SpiffeId": {"trust_domain", "path"},
    "wit_svid.proof.Companions": {"access_token", "transaction_token", "others"},
    "wit_svid.proof.Proof": {"claims"},
    "wit_svid.svid.WitSvid": {"key", "claims", "token"},
    "x509_svid.svid.X509Svid": {"chain", "key_pkcs8"},
    "x509_svid.verify.VerifiedX509Svid": {"leaf", "root_der"},
}
# What follows from the other fields, so that two values can be equal without looking at it.
DERIVED = {
    "bundle.authority.JwtAuthority": {"public_key"},
    "bundle.authority.WitAuthority": {"public_key"},
    "bundle.authority._KeyAuthority": {"public_key"},
    "bundle.authority.X509Authority": {"cert"},
    "federation.bundle_url.BundleUrl": {"host", "port", "target"},
    "spiffe_id.SpiffeId": {"trust_domain", "path"},
    "wit_svid.svid.WitSvid": {"key"},
}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_text_of_a_value_shows_no_secret_and_hides_nothing_else(name: str) -> None:
    hidden = {field.name for field in dataclasses.fields(CLASSES[name]) if not field.repr}
    assert hidden == HIDDEN.get(name.removeprefix("finial.spiffe."), set())


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_values_are_equal_by_all_that_does_not_follow_from_the_rest(name: str) -> None:
    derived = {field.name for field in dataclasses.fields(CLASSES[name]) if not field.compare}
    assert derived == DERIVED.get(name.removeprefix("finial.spiffe."), set())


def test_nothing_is_tainted_unless_it_is_said() -> None:
    ca = FakeCa()
    (key,) = ca.bundle().jwt_authorities
    for authority in (
        X509Authority.from_der(ca.der),
        X509Authority(ca.cert, ca.der),
        JwtAuthority.from_spki("k", key.spki_der),
        JwtAuthority("k", key.public_key, key.spki_der),
        JwtAuthority.from_key("k", key.public_key),
    ):
        assert authority.tainted is False


def test_an_svid_with_its_claims_is_hashed() -> None:
    """By the rest of it: claims are a dictionary."""
    ca = FakeCa()
    svid = jwt_svid.validate(ca.jwt("spiffe://example.org/a", ["me"]), ca.bundle(), "me", NOW)
    assert len({svid, svid}) == 1
    assert repr(svid).startswith("JwtSvid(id=SpiffeId(uri='spiffe://example.org/a'), audience=")
    assert "claims" not in repr(svid)


# Arguments that would be taken for one another by their place: each is given by its name.
NAMED: list[tuple[Callable[..., Any], str]] = [
    (X509Authority.from_der, "tainted"),
    (JwtAuthority.from_spki, "expires_at tainted"),
    (JwtAuthority.from_key, "expires_at"),
    (writing.published_members, "sequence refresh_hint"),
    (Relationship.parse, "trust_domain url profile endpoint_id"),
    (jwt_svid.validate, "proven"),
    (lint_leaf, "spiffe_id issuer now public_key dns_names"),
    (lint_authority, "trust_domain now issuer"),
    (X509Svid.parse, "hint"),
    (wit_svid.encode, "key_id algorithm sign"),
    (wit_svid.validate, "leeway longest_life proven"),
    (wit_svid.accept, "companions leeway longest_life longest_proof proven"),
    (wit_svid.verify_proof, "companions leeway longest"),
    (wit_svid.encode_proof, "proof_id expires_at algorithm sign companions"),
]


@pytest.mark.parametrize(("function", "names"), NAMED, ids=lambda v: getattr(v, "__qualname__", ""))
def test_arguments_that_could_be_mixed_up_are_given_by_name(
    function: Callable[..., Any], names: str
) -> None:
    parameters = inspect.signature(function).parameters.values()
    kinds = inspect.Parameter
    assert names.split() == [p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY]
