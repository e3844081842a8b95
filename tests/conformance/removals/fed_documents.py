"""Rows FED-*, as far as they are documents and rules."""

from tests.conformance.removal import Removal

FETCH = "core/finial/spiffe/federation/fetch.py"
FRESHNESS = "core/finial/spiffe/federation/freshness.py"
PEER = "core/finial/spiffe/federation/peer.py"
POLLING = "core/finial/spiffe/federation/polling.py"
RELATIONSHIP = "core/finial/spiffe/federation/relationship.py"
URL = "core/finial/spiffe/federation/bundle_url.py"

WHICHEVER_LAST = (
    "if held.is_local or not fetched.sequence or not held.bundle.sequence:\n        return taken"
)
HTTPS = 'if form["scheme"].lower() != "https":'
NO_USER = 'if "@" in form["authority"]:'
FOLLOW = "target = self.url.join(location)"
WITHOUT_USER = (
    URL,
    'authority = _AUTHORITY.fullmatch(form["authority"])',
    'authority = _AUTHORITY.fullmatch(form["authority"].rpartition("@")[2])',
)
ANY_SCHEME = Removal(URL, HTTPS, "if False:")
USER_INFO = Removal.together((URL, NO_USER, "if False:"), WITHOUT_USER)

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "FED-03": (
        Removal(POLLING, "hint = latest.refresh_hint if latest is not None else 0", "hint = 0"),
        Removal(POLLING, "LONGEST_INTERVAL = 86400", "LONGEST_INTERVAL = 1 << 70"),
        Removal(POLLING, "SHORTEST_INTERVAL = 10", "SHORTEST_INTERVAL = 0"),
    ),
    "FED-05": (
        Removal(FRESHNESS, "if fetched.sequence < held.bundle.sequence:", "if False:"),
        Removal(
            FRESHNESS,
            "if held.is_local or not fetched.sequence or not held.bundle.sequence:",
            "if held.is_local:",
        ),
        Removal(
            FRESHNESS,
            "if fetched.sequence == held.bundle.sequence and not same_keys:",
            "if False:",
        ),
        Removal(FRESHNESS, "frozenset(bundle.x509_authorities),", "bundle.x509_authorities,"),
    ),
    "FED-06": (
        Removal(FRESHNESS, "if held.is_local or not fetched.sequence", "if not fetched.sequence"),
        Removal(
            FRESHNESS,
            WHICHEVER_LAST,
            "if held.is_local:\n        return Outcome(held, Verdict.UNCHANGED)",
        ),
    ),
    "FED-07": (
        Removal(FRESHNESS, "if held.bundle.trust_domain != fetched.trust_domain:", "if False:"),
        Removal(
            FRESHNESS,
            "    same_keys = _keys",
            "    from dataclasses import replace\n\n"
            "    both = fetched.x509_authorities + held.bundle.x509_authorities\n"
            "    taken = Outcome(Held(replace(fetched, x509_authorities=both)), Verdict.TAKEN)\n"
            "    same_keys = _keys",
        ),
    ),
    "FED-08": (
        Removal(RELATIONSHIP, 'HTTPS_SPIFFE = "https_spiffe"', 'HTTPS_SPIFFE = "spiffe"'),
        Removal(RELATIONSHIP, 'HTTPS_WEB = "https_web"', 'HTTPS_WEB = "web"'),
    ),
    "FED-09": (
        Removal(RELATIONSHIP, "return cls(text)", 'return cls(text or "https_web")'),
        Removal(RELATIONSHIP, "return cls(text)", "return cls(text.strip().lower())"),
    ),
    "FED-11": (
        Removal(RELATIONSHIP, "return cls(text)", 'return cls(text or "https_web")'),
        Removal(
            RELATIONSHIP,
            "TrustDomain.parse(trust_domain),  # FED-11",
            "TrustDomain.parse(BundleUrl(url).host),",
        ),
        Removal(RELATIONSHIP, "BundleUrl(url),", 'BundleUrl(url or f"https://{trust_domain}"),'),
    ),
    "FED-12": (
        Removal(
            FETCH,
            "trust_domain = self.relationship.trust_domain",
            "from finial.spiffe.trust_domain import TrustDomain\n\n"
            "        trust_domain = TrustDomain(self.url.host)",
        ),
    ),
    "FED-13": (
        ANY_SCHEME,
        USER_INFO,
        Removal(URL, "or not _CHARACTERS.fullmatch(self.text):", "or False:"),
        Removal(URL, "return HTTPS_PORT", 'raise FederationError("a port is needed")'),
    ),
    "FED-14": (
        Removal(
            RELATIONSHIP,
            "if self.endpoint_id is not None:\n",
            "if self.endpoint_id is None:\n",
        ),
    ),
    "FED-20": (ANY_SCHEME, USER_INFO),
    "FED-23": (
        ANY_SCHEME,
        USER_INFO,
        Removal(FETCH, "if status in _REDIRECTS:", "if status in {302, 307}:"),
        Removal(FETCH, "if self.redirects == MAX_REDIRECTS:", "if False:"),
        Removal(FETCH, FOLLOW, 'raise FederationError("not followed")'),
    ),
    "FED-24": (
        Removal(
            FETCH,
            "self.relationship.peer_at(self.url)",
            "self.relationship.peer_at(self.relationship.url)",
        ),
        Removal(
            RELATIONSHIP,
            "if self.endpoint_id is None:\n            return WebPeer",
            "if url != self.url or self.endpoint_id is None:\n            return WebPeer",
        ),
    ),
    "FED-25": (
        Removal(
            FETCH,
            "        return replace(self, url=target, redirects=self.redirects + 1)",
            '        object.__setattr__(self.relationship, "url", target)\n'
            "        return replace(self, url=target, redirects=self.redirects + 1)",
        ),
    ),
    "FED-26": (
        Removal(
            RELATIONSHIP,
            'raise FederationError("an https_spiffe endpoint needs its SPIFFE ID")',
            "return",
        ),
        Removal(RELATIONSHIP, "elif not self.endpoint_id.path:", "elif False:"),
    ),
    "FED-27": (
        Removal(RELATIONSHIP, 'if data.lstrip().startswith(b"{"):', "if False:"),
        Removal(
            PEER,
            "    trusted = peer.trusted_bundle(bundles)\n",
            "    if peer.is_self_serving and bundles.bundle_for(peer.id.trust_domain) is None:\n"
            "        return None\n"
            "    trusted = peer.trusted_bundle(bundles)\n",
        ),
    ),
    "FED-28": (
        Removal(
            PEER,
            "trust_domain = self.id.trust_domain",
            "trust_domain = next(iter(bundles), self.id.trust_domain)",
        ),
    ),
    "FED-30": (
        Removal(PEER, "if verified.id != peer.id:", "if False:"),
        Removal(
            PEER,
            "if verified.id != peer.id:",
            "if verified.id.trust_domain != peer.id.trust_domain:",
        ),
    ),
    "FED-31": (
        Removal(
            FRESHNESS,
            "taken = Outcome(Held(fetched), Verdict.TAKEN)",
            "taken = Outcome(held or Held(fetched), Verdict.TAKEN)",
        ),
    ),
}
