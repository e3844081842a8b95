"""Rows BND-*, and those of other families that bundle documents hold."""

from tests.conformance.removal import Removal

AUTHORITY = "core/finial/spiffe/bundle/authority.py"
MODEL = "core/finial/spiffe/bundle/model.py"
READING = "core/finial/spiffe/bundle/reading.py"
WRITING = "core/finial/spiffe/bundle/writing.py"

X509_USE = '"use": "x509-svid",'
JWT_USE = '{"use": "jwt-svid"} |'
TAKE_USE = 'kty, use = jwk.get("kty"), jwk.get("use")'
NO_KEYS = "if not isinstance(keys, list):"
READ = "        try:\n            _take(document, jwk)\n"

INTOLERANT = Removal(
    READING,
    'document.complaints.append(f"key {index}: {error}")',
    'raise BundleError(f"key {index}: {error}") from None',
)
"""A key that cannot be used spoils the document."""

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "BND-01": (
        Removal(WRITING, '"keys": [\n            *map(', '"jwks": [\n            *map('),
        Removal(
            WRITING,
            '    if refresh_hint:\n        document["',
            '    if not document["keys"]:\n        del document["keys"]\n'
            '    if refresh_hint:\n        document["',
        ),
    ),
    "BND-02": (
        Removal(
            READING,
            "    if value is None:\n        return 0\n",
            '    if value is None:\n        raise BundleError(f"{name} is missing")\n',
        ),
        Removal(
            READING,
            NO_KEYS,
            'if members.keys() - {"keys", "spiffe_sequence", "spiffe_refresh_hint"}:\n'
            '        raise BundleError("unknown member")\n'
            f"    {NO_KEYS}",
        ),
    ),
    "BND-03": (Removal(WRITING, '        "spiffe_sequence": sequence,\n', ""),),
    "BND-04": (
        Removal(WRITING, '"spiffe_sequence": sequence,', '"spiffe_sequence": float(sequence),'),
        Removal(READING, "return int(value)", "return int(float(value))"),
        Removal(WRITING, "if not 0 <= value <= _MAX_COUNTER:", "if value > 2 * _MAX_COUNTER:"),
        Removal(WRITING, "if not 0 <= value <= _MAX_COUNTER:", "if value < 0:"),
        Removal(READING, "not 0 <= value <= MAX_COUNTER:", "value > MAX_COUNTER:"),
        Removal(READING, "not 0 <= value <= MAX_COUNTER:", "value < 0:"),
    ),
    "BND-05": (
        Removal(
            WRITING,
            'document["spiffe_refresh_hint"] = refresh_hint',
            'document["spiffe_refresh_hint"] = float(refresh_hint)',
        ),
        Removal(
            WRITING,
            'document["spiffe_refresh_hint"] = refresh_hint',
            'document["spiffe_refresh_hint"] = f"{refresh_hint}s"',
        ),
        Removal(WRITING, "    if refresh_hint:\n", "    if refresh_hint < 0:\n"),
        Removal(
            READING,
            "if not strict_json.is_integer(value) or not",
            "if not isinstance(value, int | float) or not",
        ),
    ),
    "BND-06": (Removal(READING, NO_KEYS, "keys = keys or []\n    if isinstance(keys, str):"),),
    "BND-07": (Removal(READING, NO_KEYS, "if not isinstance(keys, list) or not keys:"),),
    "BND-08": (
        Removal(
            READING,
            "    return document\n",
            "    if keys and not document.x509_authorities:\n"
            '        raise BundleError("no key can be used")\n'
            "    return document\n",
        ),
    ),
    "BND-09": (
        Removal(WRITING, JWT_USE, "{} |"),
        Removal(WRITING, X509_USE, ""),
        Removal(WRITING, "return named | key", "return named | key | {'kty': 'ec'}"),
    ),
    "BND-10": (
        INTOLERANT,
        Removal(
            READING,
            "if not isinstance(kty, str) or kty not in _KNOWN_KTY:",
            "if kty is None or kty == 1:",
        ),
        Removal(READING, "or kty not in _KNOWN_KTY:", "or kty.upper() not in _KNOWN_KTY:"),
    ),
    "BND-11": (
        INTOLERANT,
        Removal(READING, TAKE_USE, 'kty, use = jwk.get("kty"), str(jwk.get("use")).lower()'),
        Removal(
            READING,
            TAKE_USE,
            f'{TAKE_USE}\n    if use is None and "x5c" in jwk:\n        use = "x509-svid"',
        ),
    ),
    "BND-12": (
        Removal(WRITING, X509_USE, f'{X509_USE} "alg": "ES256",'),
        Removal(WRITING, JWT_USE, '{"use": "jwt-svid", "alg": "ES256"} |'),
        Removal(WRITING, '"spiffe_sequence": sequence,', '"spiffe_sequence": sequence, "iat": 0,'),
    ),
    "BND-19": (
        Removal(
            READING,
            "_append_key(document.wit_authorities, _named_key(jwk, WitAuthority))",
            "_append_key(document.wit_authorities, _named_key(jwk, WitAuthority))\n"
            "        _append_key(document.jwt_authorities, _named_key(jwk, JwtAuthority))",
        ),
    ),
    "WIT-26": (
        Removal(WRITING, "if authority.key_id in seen:", "if not seen and authority is None:"),
    ),
    "JWT-20": (
        Removal(WRITING, "if not authority.key_id:", "if authority.key_id is None:"),
        Removal(WRITING, JWT_USE, '{"use": "sig"} |'),
    ),
    "WL-27": (
        Removal(
            WRITING,
            'return to_json({"keys": [_named_jwk(authority) for authority in authorities]})',
            'return to_json({"keys": [{"use": "jwt-svid"} | _named_jwk(a) for a in authorities]})',
        ),
    ),
}
