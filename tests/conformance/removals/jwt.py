"""Rows JWT-*: validators, consumers, and what `encode` writes."""

from tests.conformance.removal import Removal

ALGORITHM = "core/finial/spiffe/jose/algorithm.py"
CLAIMS = "core/finial/spiffe/jose/claims.py"
COMPACT = "core/finial/spiffe/jose/writing.py"
ENCODING = "core/finial/spiffe/jwt_svid/encoding.py"
HEADER = "core/finial/spiffe/jwt_svid/token.py"
MODEL = "core/finial/spiffe/bundle/model.py"
READING = "core/finial/spiffe/bundle/reading.py"
SIGNATURE = "core/finial/spiffe/jose/signature.py"
TOKEN = "core/finial/spiffe/jose/token.py"
VALIDATION = "core/finial/spiffe/jwt_svid/validation.py"
WRITING = "core/finial/spiffe/bundle/writing.py"

WRITTEN = '{"alg": alg, "kid": key_id, "typ": "JWT"}'
FITS = "if not token.algorithm.fits(authority.public_key):"
VERIFIED = (
    "if not token.algorithm.verify(authority.public_key, token.signature, token.signing_input):"
)
ITS_OWN_BUNDLE = "if bundle is None or bundle.trust_domain != trust_domain:"
EXPIRED = "if now - leeway >= expiry(claims, kind):"
TOO_EARLY = "if not_before is not None and now + leeway < not_before:"
FROM_LATER = "if issued_at is not None and now + leeway < issued_at:"
FOR_OTHERS = "if audience not in svid.audience:"
NO_AUDIENCE = 'raise JwtSvidError("token missing aud claim")'

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "JWT-01": (
        Removal(
            COMPACT, 'signing_input = f"{_part(header)}.', 'signing_input = f"{_part(header)}..'
        ),
        Removal(
            "core/finial/spiffe/base64url.py",
            '.rstrip(b"=")',
            "",
        ),
        Removal(TOKEN, 'if not dot or b"." in payload_text:', "if header_text is None:"),
    ),
    "JWT-02": (
        Removal(
            HEADER,
            "    parsed = compact.parse(token, KIND)\n",
            '    if token.startswith("{"):\n'
            "        import json\n\n"
            "        flat = json.loads(token)\n"
            '        flat |= flat.get("signatures", [{}])[0]\n'
            '        parts = ("protected", "payload", "signature")\n'
            '        token = ".".join(flat[name] for name in parts)\n'
            "    parsed = compact.parse(token, KIND)\n",
        ),
    ),
    "JWT-03": (
        Removal(ENCODING, WRITTEN, '{"alg": alg, "kid": key_id, "typ": "JWT", "jku": "x"}'),
    ),
    "JWT-04": (
        Removal(ENCODING, "if alg not in ALGORITHMS:", "if alg is None:"),
        Removal(ENCODING, "if alg not in ALGORITHMS:", 'if alg not in (*ALGORITHMS, "none"):'),
        Removal(
            ALGORITHM,
            '("ES256", "ES384", "ES512", "RS256")',
            '("ES256", "ES384", "ES512", "PS256", "RS256")',
        ),
    ),
    "JWT-05": (
        Removal(TOKEN, "ALGORITHMS.get(name)", 'ALGORITHMS.get(name, ALGORITHMS["ES256"])'),
        Removal(TOKEN, "ALGORITHMS.get(name)", "ALGORITHMS.get(name.upper())"),
        Removal(
            TOKEN,
            "    algorithm = _algorithm(header, kind)\n"
            '    claims = _read("payload", payload_text, kind)\n',
            '    claims = _read("payload", payload_text, kind)\n'
            "    algorithm = _algorithm(header, kind)\n",
        ),
        Removal(ALGORITHM, '"ES384": EcAlgorithm("ES384"', '"ES385": EcAlgorithm("ES384"'),
        Removal(
            ALGORITHM,
            'f"PS{n}": RsaAlgorithm(f"PS{n}", sha, _pss(sha))',
            'f"PS{n}": RsaAlgorithm(f"PS{n}", sha, PKCS1v15())',
        ),
    ),
    "JWT-06": (
        Removal(SIGNATURE, FITS, "if token.algorithm is None:"),
        Removal(
            ALGORITHM,
            "if not isinstance(key, EllipticCurvePublicKey) or not self.fits(key):",
            "if not isinstance(key, EllipticCurvePublicKey):",
        ),
        Removal(
            ALGORITHM,
            "            and key.curve.name == self.curve\n",
            "",
        ),
        Removal(
            SIGNATURE,
            "        public_key.accept(authority.public_key)\n",
            "        public_key.to_spki(authority.public_key)\n",
        ),
    ),
    "JWT-07": (
        Removal(HEADER, "if not parsed.key_id:", "if parsed.key_id is None:"),
        Removal(ENCODING, "if not key_id:", "if key_id is None:"),
    ),
    "JWT-08": (
        Removal(HEADER, "if not isinstance(typ, str) or typ not in _TYPES:", "if typ is None:"),
        Removal(HEADER, "typ not in _TYPES:", "typ.upper() not in _TYPES:"),
        Removal(HEADER, '.get("typ", "JWT")', '.get("typ")'),
        Removal(HEADER, 'frozenset({"JWT", "JOSE"})', 'frozenset({"JWT"})'),
        Removal(TOKEN, 'if "crit" in header:', 'if "crit" in header and "b64" not in header:'),
    ),
    "JWT-09": (
        Removal(
            CLAIMS,
            "if not isinstance(text, str) or not text:",
            'text = text or "spiffe://example.org/a"\n    if not isinstance(text, str):',
        ),
        Removal(CLAIMS, "return SpiffeId(text)", 'return SpiffeId(text.rstrip("/"))'),
        Removal(ENCODING, 'SpiffeId(str(claims.get("sub", "")))', 'str(claims.get("sub", ""))'),
    ),
    "JWT-10": (
        Removal(ENCODING, "or not audience or not all(", "or not all("),
        Removal(ENCODING, "or not all(map(_is_name, audience)):", "or audience is None:"),
        Removal(ENCODING, "if not isinstance(audience, list) or not", "if not"),
    ),
    "JWT-11": (
        Removal.together(
            (VALIDATION, NO_AUDIENCE, "return ()"),
            (VALIDATION, FOR_OTHERS, "if svid.audience and audience not in svid.audience:"),
        ),
        Removal(
            VALIDATION,
            "if not isinstance(value, list) or not all(isinstance(item, str) for item in value):",
            "if not isinstance(value, list):",
        ),
    ),
    "JWT-12": (
        Removal(VALIDATION, FOR_OTHERS, "if not audience:"),
        Removal(VALIDATION, FOR_OTHERS, "if not any(audience in name for name in svid.audience):"),
        Removal(VALIDATION, FOR_OTHERS, "if audience != svid.audience[0]:"),
        Removal(VALIDATION, "        return (value,)\n", "        return tuple(value)\n"),
        Removal(VALIDATION, "    if not audience:\n", "    if audience is None:\n"),
    ),
    "JWT-14": (
        Removal(
            ENCODING, 'if not strict_json.is_integer(claims.get("exp")):', "if claims is None:"
        ),
        Removal(
            ENCODING,
            'if not strict_json.is_integer(claims.get("exp")):',
            'if not isinstance(claims.get("exp"), int | float):',
        ),
    ),
    "JWT-15": (
        Removal(
            CLAIMS,
            "    if expires_at is None:",
            "    expires_at = expires_at or 1e12\n    if expires_at is None:",
        ),
        Removal(
            CLAIMS,
            "    if type(value) is int or type(value) is float:\n",
            "    if isinstance(value, str | list | dict):\n        return 1e9\n"
            "    if type(value) is int or type(value) is float:\n",
        ),
        Removal(CLAIMS, "if type(value) is int or", "if isinstance(value, int) or"),
    ),
    "JWT-16": (
        Removal(CLAIMS, EXPIRED, "if expiry(claims, kind) < 0:"),
        Removal(CLAIMS, EXPIRED, "if now >= expiry(claims, kind):"),
        Removal(CLAIMS, EXPIRED, "if now - 600 >= expiry(claims, kind):"),
        Removal(CLAIMS, TOO_EARLY, "if not_before is not None and not_before < 0:"),
        Removal(CLAIMS, TOO_EARLY, "if not_before is not None and now < not_before:"),
        Removal(VALIDATION, FROM_LATER, "if issued_at is not None and issued_at < 0:"),
        Removal(VALIDATION, FROM_LATER, "if issued_at is not None and now < issued_at:"),
    ),
    "JWT-17": (
        Removal(
            VALIDATION,
            '    issued_at = numeric_date(claims, "iat", KIND) or 0\n',
            '    issued_at = numeric_date(claims, "iat", KIND) or 0\n'
            '    claims = {name: claims[name] for name in ("sub", "aud", "exp")}\n',
        ),
        Removal(
            VALIDATION,
            "    return _read_claims(parse(token))\n",
            "    parsed = parse(token)\n"
            "    check_times(parsed.claims, 1e9, 0, KIND)\n"
            "    return _read_claims(parsed)\n",
        ),
    ),
    "JWT-18": (
        Removal(SIGNATURE, ITS_OWN_BUNDLE, "if bundle is None:"),
        Removal(SIGNATURE, VERIFIED, "if not token.signing_input:"),
        Removal.together(
            (MODEL, "return self if trust_domain == self.trust_domain else None", "return self"),
            (SIGNATURE, ITS_OWN_BUNDLE, "if bundle is None:"),
        ),
        Removal(ALGORITHM, "if len(signature) != 2 * size:", "if not signature:"),
    ),
    "JWT-20": (
        Removal(WRITING, '{"use": "jwt-svid"} |', '{"use": "sig"} |'),
        Removal(WRITING, '"kid": authority.key_id}', '"kid": authority.key_id.upper()}'),
    ),
    "JWT-21": (
        Removal(READING, 'elif use == "jwt-svid":', 'elif use != "wit-svid":'),
        Removal(READING, 'elif use == "jwt-svid":', 'elif use in ("jwt-svid", "wit-svid"):'),
        Removal(READING, 'elif use == "jwt-svid":', 'elif str(use).lower() == "jwt-svid":'),
    ),
    "JWT-22": (
        Removal(
            SIGNATURE,
            "    authority = find(bundle, key_id)",
            "    from finial.spiffe.bundle import JwtAuthority\n\n"
            "    key = bundle.x509_authorities[0].cert.public_key()\n"
            '    authority = find(bundle, key_id) or JwtAuthority.from_key("", key)',
        ),
        Removal(
            MODEL,
            "        for authority in self.jwt_authorities:\n"
            "            if authority.key_id == key_id:\n",
            "        for authority in self.jwt_authorities:\n"
            "            if authority.key_id.lower() == key_id.lower():\n",
        ),
    ),
}
