"""Checklist rows FED-*, as far as they are documents and rules: no socket, no server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from finial.spiffe import SpiffeId, TrustDomain
from finial.spiffe.bundle import Bundle, BundleSet, JwtAuthority, WitAuthority
from finial.spiffe.errors import BundleError, FederationError, SpiffeError, SpiffeIdError
from finial.spiffe.federation import (
    BundleUrl,
    Fetch,
    FetchedBundle,
    Held,
    Profile,
    Relationship,
    SpiffePeer,
    Verdict,
    WebPeer,
    authenticate,
    judge,
    refresh_interval,
)
from finial.spiffe.federation.bundle_url import MAX_URL
from finial.spiffe.federation.fetch import MAX_REDIRECTS
from tests.fakes.ca import NOW, FakeCa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

URL = "https://bundles.other.test/other/bundle.json"
OTHER = TrustDomain("other.test")
ENDPOINT = "spiffe://other.test/spiffe-bundle-server"
EMPTY = b'{"keys":[]}'


def relationship(
    *,
    trust_domain: str = "other.test",
    url: str = URL,
    profile: str = "https_web",
    endpoint_id: str = "",
) -> Relationship:
    return Relationship.parse(
        trust_domain=trust_domain, url=url, profile=profile, endpoint_id=endpoint_id
    )


def spiffe_relationship(endpoint_id: str = ENDPOINT) -> Relationship:
    return relationship(profile="https_spiffe", endpoint_id=endpoint_id)


def redirected(fetch: Fetch, location: str | None, status: int = 302) -> Fetch:
    answer = fetch.answered(status, location, b"")
    assert isinstance(answer, Fetch)
    return answer


def fetched(fetch: Fetch, body: bytes) -> FetchedBundle:
    answer = fetch.answered(200, None, body)
    assert isinstance(answer, FetchedBundle)
    return answer


def numbered(sequence: int, ca: FakeCa, hint: int = 300) -> Bundle:
    return ca.bundle(sequence=sequence, refresh_hint=hint)


@pytest.fixture(scope="module")
def ca() -> FakeCa:
    return FakeCa("other.test")


@pytest.fixture(scope="module")
def rotated() -> FakeCa:
    return FakeCa("other.test")


@pytest.mark.parametrize("hint", [10, 11, 300, 86400])
def test_FED_03_the_next_fetch_is_a_refresh_hint_away(hint: int) -> None:
    """SPIRE asks four times as often."""
    assert refresh_interval(Bundle(OTHER, refresh_hint=hint)) == hint


@pytest.mark.parametrize(("hint", "interval"), [(1, 10), (9, 10), (86401, 86400), (1 << 64, 86400)])
def test_FED_03_a_hint_is_followed_within_bounds(hint: int, interval: int) -> None:
    assert refresh_interval(Bundle(OTHER, refresh_hint=hint)) == interval


def test_FED_03_without_a_hint_the_next_fetch_is_five_minutes_away() -> None:
    assert refresh_interval(Bundle(OTHER)) == refresh_interval(None) == 300


def test_FED_05_a_later_sequence_replaces_an_earlier_one(ca: FakeCa, rotated: FakeCa) -> None:
    held, later = numbered(5, ca), numbered(6, rotated)
    outcome = judge(later, Held(held))
    assert (outcome.held.bundle, outcome.verdict) == (later, Verdict.TAKEN)


def test_FED_05_the_first_bundle_is_taken(ca: FakeCa) -> None:
    outcome = judge(numbered(1, ca), None)
    assert (outcome.held, outcome.verdict) == (Held(numbered(1, ca)), Verdict.TAKEN)


@pytest.mark.parametrize("same_keys", [True, False])
def test_FED_05_an_earlier_sequence_is_not_taken(
    ca: FakeCa, rotated: FakeCa, same_keys: bool
) -> None:
    """A copy out of a cache would bring withdrawn keys back. SPIRE takes it."""
    held = Held(numbered(6, ca))
    outcome = judge(numbered(5, ca if same_keys else rotated), held)
    assert (outcome.held, outcome.verdict) == (held, Verdict.OUTDATED)


def test_FED_05_the_same_again_is_no_change(ca: FakeCa, rotated: FakeCa) -> None:
    """SPIRE writes the keys of one bundle in another order each time."""
    bundle = ca.bundle(rotated)
    shuffled = replace(bundle, x509_authorities=bundle.x509_authorities[::-1])
    held = Held(bundle)
    outcome = judge(shuffled, held)
    assert outcome.verdict is Verdict.UNCHANGED
    assert outcome.held.bundle is bundle


def test_FED_05_a_later_sequence_of_the_same_keys_is_noted(ca: FakeCa) -> None:
    outcome = judge(numbered(6, ca), Held(numbered(5, ca)))
    assert (outcome.held.bundle.sequence, outcome.verdict) == (6, Verdict.TAKEN)


def test_FED_05_another_refresh_hint_needs_no_later_sequence(ca: FakeCa) -> None:
    outcome = judge(numbered(5, ca, hint=60), Held(numbered(5, ca)))
    assert (outcome.held.bundle.refresh_hint, outcome.verdict) == (60, Verdict.TAKEN)


def test_FED_05_other_keys_under_the_same_sequence_are_taken_and_told(
    ca: FakeCa, rotated: FakeCa
) -> None:
    key = ca.jwt_key.public_key()
    keyed = numbered(5, ca)
    for other in (
        numbered(5, rotated),
        replace(keyed, jwt_authorities=(JwtAuthority.from_key("another", key),)),
        replace(keyed, wit_authorities=(WitAuthority.from_key("another", key),)),
    ):
        outcome = judge(other, Held(keyed))
        assert (outcome.held, outcome.verdict) == (Held(other), Verdict.UNCOUNTED)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (5, 0), (0, 5)])
def test_FED_05_without_a_sequence_the_last_fetched_is_taken(
    ca: FakeCa, rotated: FakeCa, before: int, after: int
) -> None:
    later = numbered(after, rotated)
    outcome = judge(later, Held(numbered(before, ca)))
    assert (outcome.held, outcome.verdict) == (Held(later), Verdict.TAKEN)


@pytest.mark.parametrize("sequence", [1, 5, 9])
def test_FED_06_what_was_set_locally_lasts_until_the_next_fetch(
    ca: FakeCa, rotated: FakeCa, sequence: int
) -> None:
    later = numbered(sequence, rotated)
    outcome = judge(later, Held(numbered(5, ca), is_local=True))
    assert (outcome.held, outcome.verdict) == (Held(later), Verdict.TAKEN)


def test_FED_06_a_fetch_that_confirms_what_was_set_locally_ends_that(ca: FakeCa) -> None:
    outcome = judge(numbered(5, ca), Held(numbered(5, ca), is_local=True))
    assert (outcome.held, outcome.verdict) == (Held(numbered(5, ca)), Verdict.UNCHANGED)
    assert judge(numbered(4, ca), outcome.held).verdict is Verdict.OUTDATED


def test_FED_07_what_is_held_is_one_bundle_or_the_other(ca: FakeCa, rotated: FakeCa) -> None:
    later = numbered(6, rotated)
    assert judge(later, Held(numbered(5, ca))).held.bundle == later


def test_FED_07_bundles_of_two_trust_domains_are_never_one(ca: FakeCa) -> None:
    with pytest.raises(FederationError) as caught:
        judge(FakeCa("third.test").bundle(), Held(ca.bundle()))
    assert str(caught.value) == 'a bundle of "third.test" is none of "other.test"'


def test_FED_08_both_profiles_are_known_by_their_names() -> None:
    assert relationship().profile is Profile.HTTPS_WEB
    assert spiffe_relationship().profile is Profile.HTTPS_SPIFFE


@pytest.mark.parametrize("name", ["", "https", "HTTPS_WEB", "https_web ", "web"])
def test_FED_09_an_endpoint_has_one_of_the_two_profiles(name: str) -> None:
    with pytest.raises(FederationError) as caught:
        Profile.parse(name)
    assert str(caught.value) == "bundle endpoint profile must be https_web or https_spiffe"


@pytest.mark.parametrize(
    ("missing", "error", "why"),
    [
        ({"trust_domain": ""}, SpiffeIdError, "trust domain is missing"),
        ({"url": ""}, FederationError, "bundle endpoint URL is malformed"),
        (
            {"profile": ""},
            FederationError,
            "bundle endpoint profile must be https_web or https_spiffe",
        ),
    ],
)
def test_FED_11_name_url_and_profile_are_each_needed(
    missing: Mapping[str, str], error: type[SpiffeError], why: str
) -> None:
    with pytest.raises(error) as caught:
        relationship(**missing)
    assert str(caught.value) == why


def test_FED_11_the_trust_domain_is_as_configured_whatever_the_urls_host() -> None:
    assert relationship(trust_domain="alice").trust_domain == TrustDomain("alice")


def test_FED_12_a_fetched_bundle_is_of_the_configured_trust_domain(ca: FakeCa) -> None:
    body = ca.bundle().to_jwks()
    fetch = redirected(Fetch.of(relationship()), "https://third.test/x")
    assert fetched(fetch, body).bundle == ca.bundle()
    alice = relationship(trust_domain="alice")
    assert fetched(Fetch.of(alice), body).bundle.trust_domain == TrustDomain("alice")


@pytest.mark.parametrize("scheme", ["http", "ftp", "spiffe", "unix"])
def test_FED_13_another_scheme_than_https_is_refused(scheme: str) -> None:
    with pytest.raises(FederationError) as caught:
        relationship(url=f"{scheme}://other.test/a")
    assert str(caught.value) == "bundle endpoint URL must use the https scheme"


@pytest.mark.parametrize("user", ["u:p@", "u@", ":p@", "@", "a.test:443@", "u@v@"])
def test_FED_13_user_info_is_refused(user: str) -> None:
    for given in (relationship, lambda url: replace(spiffe_relationship(), url=BundleUrl(url))):
        with pytest.raises(FederationError) as caught:
            given(url=f"https://{user}other.test/a")
        assert str(caught.value) == "bundle endpoint URL must not contain user info"


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        (URL, "bundles.other.test", 443, "/other/bundle.json"),
        ("https://h", "h", 443, "/"),
        ("https://h?q", "h", 443, "/?q"),
        ("https://h#f", "h", 443, "/"),
        ("HTTPS://Host.Test:8443/A//b/../c%20", "host.test", 8443, "/A//b/../c%20"),
        ("https://h/?x=1&y=@:/?#z", "h", 443, "/?x=1&y=@:/?"),
        ("https://h:/a", "h", 443, "/a"),
        ("https://h:1", "h", 1, "/"),
        ("https://h:65535", "h", 65535, "/"),
        ("https://10.0.0.1:443/", "10.0.0.1", 443, "/"),
        ("https://[2001:DB8::1]:8443/a", "2001:db8::1", 8443, "/a"),
        ("https://[::1]", "::1", 443, "/"),
        ("https://a_b-c.test/@x", "a_b-c.test", 443, "/@x"),
    ],
)  # fmt: skip
def test_FED_13_port_path_and_query_are_free(url: str, host: str, port: int, target: str) -> None:
    parsed = BundleUrl(url)
    assert (parsed.host, parsed.port, parsed.target) == (host, port, target)
    assert str(parsed) == url


@pytest.mark.parametrize(
    "url",
    [
        "", "h", "//h/a", "/a", "https:", "https:/h", "https:h", " https://h", "https://h ",
        "https://h/a b", "https://h/a\r\nX: y", "https://h\\@a.test/", "https://h/\u00e9",
        "1https://h", "https://h/<a>", 'https://h/"', "https://h/{a}", "https://h/^", "https://h/`",
        "https://h/|", "https://h/\x00", "https://h/\x7f", "https://h\t/a", "https://h/a\n",
    ],
)  # fmt: skip
def test_FED_13_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(FederationError) as caught:
        BundleUrl(url)
    assert str(caught.value) == "bundle endpoint URL is malformed"


def test_FED_13_a_url_has_an_end() -> None:
    longest = "https://h/".ljust(MAX_URL, "a")
    assert BundleUrl(longest).target == longest[len("https://h") :]
    with pytest.raises(FederationError, match="is malformed"):
        BundleUrl(longest + "a")


@pytest.mark.parametrize(
    "url",
    [
        "https://", "https:///a", "https://:443/a", "https://?q", "https://[::1/", "https://[]/",
        "https://[1.2.3.4]/", "https://[::g]/", "https://[::1%25eth0]/", "https://h:x/",
        "https://h:-1/", "https://%68/", "https://a,b/", "https://h:1:2/", "https://[:::]/",
    ],
)  # fmt: skip
def test_FED_13_a_url_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(FederationError) as caught:
        BundleUrl(url)
    assert str(caught.value) == "bundle endpoint URL must specify the host"


@pytest.mark.parametrize("port", ["0", "65536", "99999999999"])
def test_FED_13_a_port_out_of_range_is_refused(port: str) -> None:
    with pytest.raises(FederationError) as caught:
        BundleUrl(f"https://h:{port}/")
    assert str(caught.value) == "bundle endpoint URL has no port of 1 to 65535"


def test_FED_14_https_web_needs_three_parameters_and_takes_no_more() -> None:
    found = relationship()
    assert (found.trust_domain, found.url.text, found.profile) == (OTHER, URL, Profile.HTTPS_WEB)
    assert (found.endpoint_id, found.is_self_serving) == (None, False)
    with pytest.raises(FederationError) as caught:
        relationship(endpoint_id=ENDPOINT)
    assert str(caught.value) == "an https_web endpoint has no SPIFFE ID"


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://other.test/", "bundle endpoint URL must use the https scheme"),
        ("//u:p@other.test/", "bundle endpoint URL must not contain user info"),
        ("https:///x", "bundle endpoint URL must specify the host"),
        ("https://[::1/", "bundle endpoint URL must specify the host"),
        ("//[::1/", "bundle endpoint URL is malformed"),
        ("https:x", "bundle endpoint URL is malformed"),
        ("mailto:a", "bundle endpoint URL is malformed"),
        ("https://h/a b", "bundle endpoint URL is malformed"),
        (" /a", "bundle endpoint URL is malformed"),
        ("/a\n", "bundle endpoint URL is malformed"),
    ],
)
@pytest.mark.parametrize("make", [relationship, spiffe_relationship])
def test_FED_20_and_23_a_redirect_to_no_valid_url_is_not_followed(
    make: Callable[[], Relationship], location: str, why: str
) -> None:
    with pytest.raises(FederationError) as caught:
        Fetch.of(make()).answered(302, location, b"")
    assert str(caught.value) == f"redirect: {why}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://cdn.test:8443/b?x", "https://cdn.test:8443/b?x"),
        ("//cdn.test/b", "https://cdn.test/b"),
        ("/b", "https://bundles.other.test/b"),
        ("next.json", "https://bundles.other.test/other/next.json"),
    ],
)
def test_FED_23_a_redirect_to_a_valid_url_is_followed(
    status: int, location: str, target: str
) -> None:
    followed = redirected(Fetch.of(relationship()), location, status)
    assert (followed.url, followed.redirects) == (BundleUrl(target), 1)


def test_FED_23_a_second_redirect_starts_from_the_first_ones_target() -> None:
    fetch = redirected(Fetch.of(relationship()), "https://cdn.test/x/y")
    assert redirected(fetch, "z").url == BundleUrl("https://cdn.test/x/z")


def test_FED_23_redirects_have_an_end() -> None:
    fetch = Fetch.of(relationship())
    for _ in range(MAX_REDIRECTS):
        fetch = redirected(fetch, URL)
    assert fetched(fetch, EMPTY).bundle == Bundle(OTHER)
    with pytest.raises(FederationError) as caught:
        fetch.answered(302, URL, b"")
    assert str(caught.value) == f"bundle endpoint redirects more than {MAX_REDIRECTS} times"


def test_FED_23_a_redirect_to_nowhere_is_an_error() -> None:
    with pytest.raises(FederationError) as caught:
        Fetch.of(relationship()).answered(302, None, EMPTY)
    assert str(caught.value) == "bundle endpoint redirects to nowhere"


@pytest.mark.parametrize("status", [100, 201, 204, 300, 304, 305, 401, 404, 500])
def test_FED_23_any_other_answer_is_no_bundle(status: int) -> None:
    with pytest.raises(FederationError) as caught:
        Fetch.of(relationship()).answered(status, URL, EMPTY)
    assert str(caught.value) == f"bundle endpoint answered with status {status}, not 200"


def test_FED_24_the_host_redirected_to_must_prove_itself() -> None:
    fetch = Fetch.of(relationship())
    assert fetch.peer == WebPeer("bundles.other.test")
    assert redirected(fetch, "https://CDN.test/").peer == WebPeer("cdn.test")


def test_FED_24_with_https_spiffe_the_target_must_have_the_same_id() -> None:
    fetch = Fetch.of(spiffe_relationship())
    assert fetch.peer == SpiffePeer(SpiffeId(ENDPOINT), is_self_serving=True)
    assert redirected(fetch, "https://cdn.test/").peer == fetch.peer


def test_FED_25_each_fetch_begins_at_the_configured_url() -> None:
    found = relationship()
    redirected(Fetch.of(found), "https://cdn.test/", status=301)
    again = Fetch.of(found)
    assert (again.url, again.redirects, found.url) == (BundleUrl(URL), 0, BundleUrl(URL))


def test_FED_26_https_spiffe_needs_the_endpoints_id() -> None:
    for endpoint_id, why in (
        ("", "an https_spiffe endpoint needs its SPIFFE ID"),
        ("spiffe://other.test", "a trust domain's own ID is no endpoint's"),
    ):
        with pytest.raises(FederationError) as caught:
            spiffe_relationship(endpoint_id)
        assert str(caught.value) == why
    with pytest.raises(SpiffeIdError):
        spiffe_relationship("other.test/server")
    assert spiffe_relationship().endpoint_id == SpiffeId(ENDPOINT)


def test_FED_27_an_operator_gives_the_first_bundle_in_spiffe_format_or_pem(ca: FakeCa) -> None:
    found = spiffe_relationship()
    assert found.is_self_serving
    assert found.initial_bundle(b"\n " + ca.bundle().to_jwks()) == ca.bundle()
    from_pem = found.initial_bundle(ca.bundle().to_pem())
    assert from_pem == Bundle(OTHER, x509_authorities=ca.bundle().x509_authorities)
    with pytest.raises(BundleError):
        found.initial_bundle(b"neither")


def test_FED_27_without_its_first_bundle_a_self_serving_endpoint_is_not_believed(
    ca: FakeCa,
) -> None:
    peer = Fetch.of(spiffe_relationship()).peer
    assert isinstance(peer, SpiffePeer)
    with pytest.raises(FederationError) as caught:
        authenticate(peer, ca.issue(ENDPOINT).chain, BundleSet(), NOW)
    assert str(caught.value) == (
        'no bundle of "other.test" to begin with: its endpoint serves itself, '
        "so give the first one by hand"
    )
    assert authenticate(peer, ca.issue(ENDPOINT).chain, ca.bundles(), NOW).id == peer.id


def test_FED_28_an_endpoint_of_another_trust_domain_needs_that_ones_bundle(ca: FakeCa) -> None:
    hub = FakeCa("hub.test")
    found = spiffe_relationship("spiffe://hub.test/server")
    assert not found.is_self_serving
    peer = Fetch.of(found).peer
    assert isinstance(peer, SpiffePeer)
    chain = hub.issue("spiffe://hub.test/server").chain
    with pytest.raises(FederationError) as caught:
        authenticate(peer, chain, ca.bundles(), NOW)
    assert str(caught.value) == (
        'no bundle of "hub.test", in which the endpoint lies: federate with that, too'
    )
    assert authenticate(peer, chain, ca.bundles(hub), NOW).id == peer.id


def test_FED_30_the_endpoint_has_exactly_the_configured_id(ca: FakeCa) -> None:
    peer = SpiffePeer(SpiffeId(ENDPOINT), is_self_serving=True)
    with pytest.raises(FederationError) as caught:
        authenticate(peer, ca.issue("spiffe://other.test/another").chain, ca.bundles(), NOW)
    assert str(caught.value) == f"bundle endpoint is not {ENDPOINT} but spiffe://other.test/another"


def test_FED_30_the_endpoints_svid_is_a_valid_one(ca: FakeCa, rotated: FakeCa) -> None:
    peer = SpiffePeer(SpiffeId(ENDPOINT), is_self_serving=True)
    for chain in ((), ca.issue(ENDPOINT, ttl=-1).chain, rotated.issue(ENDPOINT).chain):
        with pytest.raises(FederationError) as caught:
            authenticate(peer, chain, ca.bundles(), NOW)
        assert str(caught.value).startswith(f"bundle endpoint is not {ENDPOINT}: ")


def test_FED_30_another_domains_ca_proves_no_endpoint(ca: FakeCa) -> None:
    forger = FakeCa("third.test")
    peer = SpiffePeer(SpiffeId(ENDPOINT), is_self_serving=True)
    with pytest.raises(FederationError, match="bundle endpoint is not"):
        authenticate(peer, forger.issue(ENDPOINT).chain, ca.bundles(forger), NOW)


def test_FED_31_the_latest_bundle_validates_the_next_connection(
    ca: FakeCa, rotated: FakeCa
) -> None:
    peer = SpiffePeer(SpiffeId(ENDPOINT), is_self_serving=True)
    held = Held(numbered(1, ca))
    served = replace(rotated.bundle(), sequence=2)
    held = judge(served, held).held
    chain = rotated.issue(ENDPOINT).chain
    assert authenticate(peer, chain, held.bundle, NOW).id == peer.id
    with pytest.raises(FederationError):
        authenticate(peer, ca.issue(ENDPOINT).chain, held.bundle, NOW)
