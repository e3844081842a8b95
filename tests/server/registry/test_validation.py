from dataclasses import replace

import pytest

from finial.server.registry.errors import InvalidEntry
from finial.server.registry.model import Entry
from finial.server.registry.validation import validate_entry
from finial.spiffe.spiffe_id import SpiffeId
from tests.server.registry.examples import DOMAIN, entry, selectors

GOOD = entry("w", "unix:uid:0")
BARE = SpiffeId("spiffe://example.org")
FOREIGN = SpiffeId("spiffe://other.org/w")
STORABLE = "datastore-validation: invalid registration entry: "


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        replace(GOOD, parent_id=SpiffeId("spiffe://example.org/spire/server")),
        replace(GOOD, id="A.z_9-" + "x" * 249),
        replace(GOOD, hint="x" * 1024),
        replace(GOOD, dns_names=("a", "*.a.b", "x_y.example.org", "a" * 63 + ".b")),
        replace(GOOD, store_svid=True, selectors=selectors("k8s:a", "k8s:b")),
        replace(GOOD, disable_x509_svid_prefetch=True),
    ],
)
def test_a_good_entry_passes(good: Entry) -> None:
    validate_entry(good, DOMAIN)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            replace(GOOD, parent_id=BARE),
            (
                'invalid parent ID: "spiffe://example.org" is not a member of trust domain '
                '"example.org"; path is empty'
            ),
        ),
        (
            replace(GOOD, parent_id=FOREIGN),
            (
                'invalid parent ID: "spiffe://other.org/w" is not a member of trust domain '
                '"example.org"'
            ),
        ),
        (
            replace(GOOD, spiffe_id=FOREIGN),
            (
                'invalid spiffe ID: "spiffe://other.org/w" is not a member of trust domain '
                '"example.org"'
            ),
        ),
        (
            replace(GOOD, spiffe_id=BARE),
            (
                'invalid spiffe ID: "spiffe://example.org" is not a workload in trust domain '
                '"example.org"; path is empty'
            ),
        ),
        *(
            (
                replace(GOOD, spiffe_id=SpiffeId(f"spiffe://example.org{path}")),
                (
                    f'invalid spiffe ID: "spiffe://example.org{path}" is not a workload in trust '
                    'domain "example.org"; path is in the reserved namespace'
                ),
            )
            for path in ("/spire", "/spire/server", "/spire/agent/x")
        ),
        (replace(GOOD, selectors=()), "selector list is empty"),
        (
            replace(GOOD, hint="x" * 1025),
            "hint is too long, max length is 1024 characters",
        ),
    ],
)
def test_a_field_that_cannot_be_read_is_named(bad: Entry, message: str) -> None:
    with pytest.raises(InvalidEntry) as refused:
        validate_entry(bad, DOMAIN)
    assert str(refused.value) == message
    assert not refused.value.stored_form


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a-",
        "a b",
        "*",
        "a.*",
        "*a.b",
        "é.org",
        "*.a.*",
        "*.",
        "*.a.",
        "a" * 64,
        "a\n",
        "a." * 127 + "ab",
    ],
)
def test_a_bad_dns_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidEntry, match=r"^invalid DNS name: "):
        validate_entry(replace(GOOD, dns_names=("good.org", name)), DOMAIN)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (replace(GOOD, x509_svid_ttl=-1), "X509SvidTtl is not set"),
        (replace(GOOD, jwt_svid_ttl=-1), "JwtSvidTtl is not set"),
        (replace(GOOD, id="x" * 256), "entry ID too long"),
        (replace(GOOD, id="a/b"), "entry ID contains invalid characters"),
        (replace(GOOD, id="a\n"), "entry ID contains invalid characters"),
        (
            replace(GOOD, store_svid=True, selectors=selectors("k8s:a", "unix:a")),
            "selector types must be the same when store SVID is enabled",
        ),
        (
            replace(GOOD, store_svid=True, disable_x509_svid_prefetch=True),
            "X509-SVID prefetch cannot be disabled when store SVID is enabled",
        ),
    ],
)
def test_an_entry_that_no_store_would_take_is_told_apart(bad: Entry, message: str) -> None:
    with pytest.raises(InvalidEntry) as refused:
        validate_entry(bad, DOMAIN)
    assert str(refused.value) == STORABLE + message
    assert refused.value.stored_form
