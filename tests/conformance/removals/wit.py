"""Rows WIT-*: the token, its confirmation, the proof that goes with it, its keys in a bundle."""

from tests.conformance.removal import Removal

ACCEPTANCE = "core/finial/spiffe/wit_svid/acceptance.py"
CLAIMS = "core/finial/spiffe/jose/claims.py"
CONFIRMATION = "core/finial/spiffe/wit_svid/confirmation.py"
ENCODING = "core/finial/spiffe/wit_svid/encoding.py"
JOSE_TOKEN = "core/finial/spiffe/jose/token.py"
MODEL = "core/finial/spiffe/bundle/model.py"
PROOF = "core/finial/spiffe/wit_svid/proof.py"
READING = "core/finial/spiffe/bundle/reading.py"
SIGNATURE = "core/finial/spiffe/jose/signature.py"
TOKEN = "core/finial/spiffe/wit_svid/token.py"
VALIDATION = "core/finial/spiffe/wit_svid/validation.py"
WRITING = "core/finial/spiffe/bundle/writing.py"

FIND_WIT = "for authority in self.wit_authorities:\n            if authority.key_id == key_id:"

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "WIT-01": (
        Removal(TOKEN, "if not parsed.key_id:", "if False:"),
        Removal(ENCODING, "if not key_id:", "if False:"),
    ),
    "WIT-02": (
        Removal(
            MODEL,
            FIND_WIT,
            "for authority in self.wit_authorities:\n"
            "            if authority.key_id.lower() == key_id.lower():",
        ),
        Removal(MODEL, FIND_WIT, "for authority in self.wit_authorities:\n            if key_id:"),
    ),
    "WIT-04": (
        Removal(TOKEN, 'if parsed.header.get("typ") != TYPE:', "if False:"),
        Removal(
            TOKEN,
            'if parsed.header.get("typ") != TYPE:',
            'if str(parsed.header.get("typ")).lower() != TYPE:',
        ),
    ),
    "WIT-05": (
        Removal(
            JOSE_TOKEN,
            "algorithm = ALGORITHMS.get(name) if isinstance(name, str) else None",
            'algorithm = ALGORITHMS.get(str(name), ALGORITHMS["ES256"])',
        ),
        Removal(ENCODING, "if algorithm not in ALGORITHMS:", "if False:"),
        Removal(SIGNATURE, "if not token.algorithm.fits(authority.public_key):", "if False:"),
    ),
    "WIT-06": (
        Removal(ENCODING, '"kid": key_id, "typ": TYPE}', '"kid": key_id, "typ": TYPE, "cty": ""}'),
    ),
    "WIT-07": (
        Removal(JOSE_TOKEN, 'if "crit" in header:', "if False:"),
        Removal(JOSE_TOKEN, 'if "crit" in header:', 'if header.keys() - {"alg", "kid", "typ"}:'),
    ),
    "WIT-08": (
        Removal(
            CLAIMS,
            "if not isinstance(text, str) or not text:",
            'text = text or "spiffe://example.org/a"\n    if not isinstance(text, str):',
        ),
        Removal(
            CLAIMS,
            "return SpiffeId(text)",
            'return SpiffeId(text.replace("wimse:", "spiffe:"))',
        ),
        Removal(
            ENCODING, 'SpiffeId(str(claims.get("sub", "")))', 'SpiffeId("spiffe://example.org/a")'
        ),
    ),
    "WIT-09": (
        Removal(CONFIRMATION, 'cnf = claims.get("cnf")', 'cnf = claims.get("cnf") or {}'),
        Removal(
            CONFIRMATION,
            'raise WitSvidError("cnf claim missing jwk")',
            'return claims["sub"], "ES256"',
        ),
        Removal(CONFIRMATION, "if not _SECRET.isdisjoint(jwk):", "if False:"),
        Removal(
            ENCODING, 'if confirmation(*read_confirmation(claims)) != claims["cnf"]:', "if False:"
        ),
    ),
    "WIT-10": (
        Removal(
            CONFIRMATION,
            "algorithm = ALGORITHMS.get(name) if isinstance(name, str) else None",
            'algorithm = ALGORITHMS.get(str(name), ALGORITHMS["ES256"])',
        ),
        Removal(CONFIRMATION, "if not algorithm.fits(key):", "if False:"),
        Removal(CONFIRMATION, "if not ALGORITHMS[algorithm].fits(accepted):", "if False:"),
        Removal(
            CONFIRMATION,
            "if algorithm not in ALGORITHMS:",
            'algorithm = {"HS256": "ES256"}.get(algorithm, algorithm)\n    if False:',
        ),
    ),
    "WIT-12": (
        Removal(
            ACCEPTANCE,
            "    return Presentation(svid, verified)",
            '    if vars(accept).setdefault(svid.claims["jti"], proof) != proof:\n'
            "        from finial.spiffe.errors import WitSvidError\n"
            '        raise WitSvidError("token was used before")\n'
            "    return Presentation(svid, verified)",
        ),
    ),
    "WIT-13": (
        Removal(
            CLAIMS,
            'expires_at = numeric_date(claims, "exp", kind)',
            'expires_at = numeric_date(claims, "exp", kind) or 1e12',
        ),
        Removal(CLAIMS, "if now - leeway >= expiry(claims, kind):", "if False:"),
        Removal(
            CLAIMS,
            "if now - leeway >= expiry(claims, kind):",
            "if now >= expiry(claims, kind):",
        ),
        Removal(ENCODING, 'if not strict_json.is_integer(claims.get("exp")):', "if False:"),
    ),
    "WIT-14": (
        Removal(CLAIMS, "if not_before is not None and now + leeway < not_before:", "if False:"),
        Removal(ENCODING, "if not strict_json.is_integer(claims.get(name, 0)):", "if False:"),
    ),
    "WIT-15": (
        Removal(VALIDATION, "if longest_life is not None:", "if False:"),
        Removal(
            VALIDATION,
            "(now if not_before is None else not_before)",
            '(parsed.claims.get("iat") if not_before is None else not_before)',
        ),
    ),
    "WIT-16": (
        Removal(
            VALIDATION,
            "    if longest_life is not None:",
            '    if (numeric_date(parsed.claims, "iat", KIND) or 0) > now + leeway:\n'
            '        raise WitSvidError("token was issued in the future")\n'
            "    if longest_life is not None:",
        ),
    ),
    "WIT-17": (
        Removal(ENCODING, 'claims.get("iss", "").lower().startswith("https:")', "False"),
        Removal(ENCODING, 'claims.get("iss", "").lower()', 'claims.get("iss", "")'),
    ),
    "WIT-18": (
        Removal(ENCODING, 'if "aud" in claims:', "if False:"),
        Removal(VALIDATION, 'if "aud" in claims:', "if False:"),
    ),
    "WIT-19": (
        Removal(
            VALIDATION,
            'if "aud" in claims:',
            'if claims.keys() - {"sub", "exp", "iat", "nbf", "iss", "jti", "cnf"}:',
        ),
    ),
    "WIT-20": (
        Removal(
            PROOF,
            "if not parsed.algorithm.verify(svid.key, parsed.signature, parsed.signing_input):",
            "if False:",
        ),
        Removal(
            ACCEPTANCE,
            "svid = validate(token, bundles, now, leeway=leeway, "
            "longest_life=longest_life, proven=proven)",
            "from finial.spiffe.wit_svid.validation import parse_unverified\n"
            "    svid = parse_unverified(token)",
        ),
    ),
    "WIT-22": (
        Removal(PROOF, 'if parsed.claims.get("wth") != _digest(svid.token):', "if False:"),
        Removal(PROOF, '_check_audience(parsed.claims.get("aud"), audience)', "pass"),
    ),
    "WIT-23": (
        Removal(PROOF, "check_times(parsed.claims, now, leeway, KIND)", "pass"),
        Removal(PROOF, "if expires_at - now - leeway > longest:", "if False:"),
    ),
    "WIT-25": (
        Removal(WRITING, '{"use": "wit-svid"}', '{"use": "sig"}'),
        Removal(WRITING, "if not authority.key_id:", "if False:"),
    ),
    "WIT-26": (
        Removal(
            WRITING,
            "_check_key_ids([*jwt_authorities, *wit_authorities])",
            "_check_key_ids(jwt_authorities)\n    _check_key_ids(wit_authorities)",
        ),
    ),
    "WIT-27": (
        Removal(VALIDATION, "Bundle.find_wit_authority", "Bundle.find_jwt_authority"),
        Removal(READING, 'elif use == "wit-svid":', 'elif use != "x509-svid":'),
        Removal(READING, 'elif use == "wit-svid":', 'elif str(use).lower() == "wit-svid":'),
        Removal(
            SIGNATURE,
            "if bundle is None or bundle.trust_domain != trust_domain:",
            "if bundle is None:",
        ),
    ),
}
