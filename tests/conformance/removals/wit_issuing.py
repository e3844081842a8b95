"""Rows WIT-* of issuers and publishers."""

from tests.conformance.removal import Removal

TOKEN = "server/finial/server/signer/wit_token.py"
KEY = "server/finial/server/signer/authority_key.py"
SERIES = "server/finial/server/authority/series.py"
STORE = "server/finial/server/datastore/bundles.py"
SETTINGS = "server/finial/server/config/settings.py"
SHOW = "server/finial/server/cli/bundle_show.py"
ENCODING = "core/finial/spiffe/wit_svid/encoding.py"
CONFIRMATION = "core/finial/spiffe/wit_svid/confirmation.py"
WRITING = "core/finial/spiffe/bundle/writing.py"

HEADER = '{"alg": algorithm, "kid": key_id, "typ": TYPE}'
# `encode` refuses what the template must not write, so both go together.
UNCHECKED = (
    ENCODING,
    'if confirmation(*read_confirmation(claims)) != claims["cnf"]:',
    "if False:",
)

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "WIT-01": (Removal(ENCODING, HEADER, '{"alg": algorithm, "kid": "", "typ": TYPE}'),),
    "WIT-03": (
        Removal(
            KEY,
            '"".join(secrets.choice(_KEY_ID_ALPHABET) for _ in range(_KEY_ID_LENGTH))',
            '"k"',
        ),
    ),
    "WIT-04": (Removal(ENCODING, HEADER, '{"alg": algorithm, "kid": key_id, "typ": "JWT"}'),),
    "WIT-05": (Removal(ENCODING, HEADER, '{"alg": "HS256", "kid": key_id, "typ": TYPE}'),),
    "WIT-06": (
        Removal(
            ENCODING, HEADER, '{"alg": algorithm, "kid": key_id, "typ": TYPE, "jku": "https://x"}'
        ),
    ),
    "WIT-08": (Removal(TOKEN, '"sub": order.spiffe_id,', '"sub": "spiffe://example.org/x",'),),
    "WIT-09": (Removal.together((TOKEN, '"cnf": _confirmation(order),', '"cnf": {},'), UNCHECKED),),
    "WIT-10": (
        Removal.together((CONFIRMATION, '"alg": algorithm}}', '"alg": "HS256"}}'), UNCHECKED),
        Removal(CONFIRMATION, "if not ALGORITHMS[algorithm].fits(accepted):", "if False:"),
    ),
    "WIT-11": (Removal(TOKEN, "os.urandom(_JTI_SIZE)", "bytes(_JTI_SIZE)"),),
    "WIT-13": (
        Removal.together(
            (TOKEN, '"exp": order.expires_at,', ""),
            (ENCODING, 'if not strict_json.is_integer(claims.get("exp")):', "if False:"),
        ),
    ),
    "WIT-17": (
        Removal(SETTINGS, 'if issuer.lower().startswith("https:"):', "if False:"),
        Removal(TOKEN, "if issuer:", 'if issuer := issuer or "https":'),
    ),
    "WIT-18": (
        Removal.together(
            (TOKEN, '"iat": order.issued_at,', '"iat": order.issued_at, "aud": ["x"],'),
            (ENCODING, 'if "aud" in claims:', "if False:"),
        ),
    ),
    "WIT-25": (
        Removal(WRITING, '{"use": "wit-svid"}', '{"use": "sig"}'),
        Removal(SHOW, "for each in bundle.wit_authorities", "for each in ()"),
        Removal(SERIES, "await self._bundle.append(wit=[bound])", "pass"),
    ),
    "WIT-26": (Removal(STORE, "if taken:", "if False:"),),
}
