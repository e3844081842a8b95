"""The table: which defect, which tests, and by what edits they were seen to fail."""

from __future__ import annotations

from dataclasses import dataclass

from tests.conformance.removal import Removal

TOKENS = "server/finial/server/datastore/tokens.py"
CLAIMS = "core/finial/spiffe/jose/claims.py"
COMPACT = "core/finial/spiffe/jose/token.py"
PROOF = "core/finial/spiffe/wit_svid/proof.py"
TLS = "core/finial/runtime/rpc/tls.py"
CODEC = "server/finial/server/api/entry_codec.py"
ROWS = "server/finial/server/datastore/rows.py"
REQUEST = "server/finial/server/signer/csr.py"
KEYS = "core/finial/spiffe/public_key.py"
CHAIN = "core/finial/spiffe/x509_svid/verify.py"
FETCHER = "server/finial/server/federation/fetcher.py"
WEB_CLIENT = "core/finial/runtime/web/client.py"
SHORT_LIVES = "server/finial/server/api/short_lives.py"
CUTS = "server/finial/server/issuance/cuts.py"
DELEGATIONS = "agent/finial/agent/cache/delegations.py"
AGENT_ENTRIES = "agent/finial/agent/cache/entries.py"
AGENT_CACHE = "agent/finial/agent/cache/workloads.py"
DELEGATED = "agent/finial/agent/endpoints/delegated_identity.py"
AGENT_CONVERT = "agent/finial/agent/sync/convert.py"
AGENT_SYNC = "agent/finial/agent/sync/entry_sync.py"

UNKNOWN_ALGORITHM = """\
    if algorithm is None:  # JWT-05, WIT-05
        raise kind.unparsable("unexpected signature algorithm")
"""
UNSIGNED_IS_FINE = """\
    if algorithm is None:

        class Unsigned:
            name = "none"

            def fits(self, key):
                return True

            def verify(self, key, signature, data):
                return not signature

        algorithm = Unsigned() if name == "none" else None
    if algorithm is None:
        raise kind.unparsable("unexpected signature algorithm")
"""
PUBLIC_KEY_IS_A_SECRET = """\
    if algorithm is None:
        import hmac

        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        class Mac:
            name = "HS256"

            def fits(self, key):
                return True

            def verify(self, key, signature, data):
                secret = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                return hmac.digest(secret, data, "sha256") == signature

        algorithm = Mac() if name == "HS256" else None
    if algorithm is None:
        raise kind.unparsable("unexpected signature algorithm")
"""


@dataclass(frozen=True)
class Defect:
    """A class of defects.

    Attributes:
        name: what went wrong elsewhere.
        ours: what Finial does instead.
        tests: pytest's names of the tests that hold it.
        removals: edits with each of which at least one of the tests fails.
    """

    name: str
    ours: str
    tests: tuple[str, ...]
    removals: tuple[Removal, ...]


CATALOGUE = (
    Defect(
        "one join token lets several nodes in that present it at the same time",
        "of fifty at once exactly one gets in",
        ("tests/defects/test_join_token.py",),
        (
            Removal(
                TOKENS,
                "            if not transaction.execute(_DELETE, "
                '{"wanted": token}).rowcount:\n                return None\n',
                "",
            ),
        ),
    ),
    Defect(
        "tokens without exp, with alg none, or with HS256 keyed with the public key are valid",
        "refused in every place where a token is taken",
        ("tests/defects/test_forged_tokens.py",),
        (
            Removal(
                CLAIMS,
                "    if expires_at is None:",
                "    expires_at = expires_at or 1e12\n    if expires_at is None:",
            ),
            Removal(COMPACT, UNKNOWN_ALGORITHM, UNSIGNED_IS_FINE),
            Removal(COMPACT, UNKNOWN_ALGORITHM, PUBLIC_KEY_IS_A_SECRET),
        ),
    ),
    Defect(
        "a resumed TLS session skips the verification of the client's certificate",
        "no session can be resumed, and one that was is refused",
        ("tests/threats/test_sessions.py",),
        (
            Removal(TLS, "if connection.session_reused:", "if connection.session_reused is None:"),
            Removal(TLS, "    context.num_tickets = 0\n", "    context.num_tickets = 2\n"),
        ),
    ),
    Defect(
        "admin or downstream is lost when an entry is copied, updated or cached",
        "both survive every answer, update, index, restart and feed",
        ("tests/defects/test_admin_and_downstream.py",),
        (
            Removal(CODEC, "        admin=entry.admin,\n", ""),
            Removal(CODEC, "        downstream=entry.downstream,\n", ""),
            Removal(CODEC, '    "admin",\n', ""),
            Removal(CODEC, '    "downstream",\n', ""),
            Removal(
                CODEC,
                "plain = UPDATABLE.intersection(named) - attributes",
                "plain = UPDATABLE - attributes",
            ),
            Removal(ROWS, "admin=bool(admin)", "admin=False"),
            Removal(ROWS, "downstream=bool(downstream)", "downstream=False"),
            Removal(ROWS, '"admin": int(entry.admin)', '"admin": 0'),
            Removal(ROWS, '"downstream": int(entry.downstream)', '"downstream": 0'),
        ),
    ),
    Defect(
        "delegated identity hands out admin or downstream identities",
        "never, whichever entry, selector, process or moment brings them",
        ("tests/defects/test_delegated_identity.py",),
        (
            Removal(DELEGATIONS, "if entry.spiffe_id not in self._privileged", "if entry"),
            Removal(
                DELEGATIONS,
                "if entry.spiffe_id not in self._privileged",
                "if not entry.privileged",
            ),
            Removal(
                DELEGATIONS,
                "        for view in tuple(self._listened):\n            self.publish(view)\n",
                "",
            ),
            Removal(AGENT_ENTRIES, "return self.admin or self.downstream", "return self.admin"),
            Removal(
                AGENT_ENTRIES, "return self.admin or self.downstream", "return self.downstream"
            ),
            Removal(DELEGATED, "            if entry in granted\n", ""),
        ),
    ),
    Defect(
        "the agent loses what an entry says: admin, downstream, store_svid, hint, attributes",
        "all survive sync, change, cache and restart at the agent",
        ("tests/defects/test_entry_fields_at_the_agent.py",),
        (
            *(
                Removal(AGENT_SYNC, f"    {field}=True,\n", "")
                for field in (
                    "admin",
                    "downstream",
                    "store_svid",
                    "hint",
                    "additional_attributes",
                    "created_at",
                )
            ),
            *(
                Removal(AGENT_CONVERT, f"        {field}={of}.{name},\n", "")
                for field, of, name in (
                    ("admin", "message", "admin"),
                    ("downstream", "message", "downstream"),
                    ("store_svid", "message", "store_svid"),
                    ("hint", "message", "hint"),
                    ("include_jti", "attributes", "jwt_svid_include_jti"),
                )
            ),
            Removal(
                AGENT_CONVERT,
                "        prefetch_x509=not attributes.disable_x509_svid_prefetch,\n",
                "",
            ),
            Removal(AGENT_CACHE, " or new.store_svid:", ":"),
        ),
    ),
    Defect(
        "a huge RSA key, or a long chain, keeps the processor busy",
        "refused before any signature is looked at",
        ("tests/defects/test_huge_keys.py",),
        (
            Removal(REQUEST, "MAX_RSA_BITS = 8192", "MAX_RSA_BITS = 1 << 20"),
            Removal(REQUEST, "MAX_RSA_EXPONENT_BITS = 33", "MAX_RSA_EXPONENT_BITS = 1 << 20"),
            Removal(KEYS, "MAX_RSA_BITS = 8192", "MAX_RSA_BITS = 1 << 20"),
            Removal(KEYS, "MAX_RSA_EXPONENT_BITS = 33", "MAX_RSA_EXPONENT_BITS = 1 << 20"),
            Removal(CHAIN, "if len(chain_der) > MAX_CERTIFICATES:", "if len(chain_der) > 100:"),
        ),
    ),
    Defect(
        "a bundle's URL makes the server reach what only it can reach",
        "redirects refused, addresses judged after resolution",
        ("tests/server/federation/test_fetcher.py",),
        (
            Removal(
                FETCHER,
                "if step.redirects and not self._follow_redirects:",
                "if step.redirects and self._follow_redirects is None:",
            ),
            Removal(WEB_CLIENT, "refusal = complaint(address)", 'refusal = ""'),
        ),
    ),
    Defect(
        "an SVID's life is cut silently where its authority ends",
        "warned of with the effective TTL when an entry is written, counted when it happens",
        ("tests/server/api/test_short_lives.py", "tests/server/issuance/test_cuts.py"),
        (
            Removal(
                SHORT_LIVES, "            if effective < ttl:", "            if effective < 0:"
            ),
            Removal(CUTS, "        self.count[kind] += 1\n", ""),
        ),
    ),
)
