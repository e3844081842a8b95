"""What a whole server hands out, publishes and refuses; what is doubled goes together."""

from tests.conformance.removal import Removal

BUNDLES = "server/finial/server/datastore/bundles.py"
CA = "server/finial/server/signer/ca_certificate.py"
CONVERT = "server/finial/server/api/convert.py"
LINT = "server/finial/server/signer/lint.py"
MINT = "server/finial/server/api/mint_csr.py"
POLICY = "server/finial/server/signer/policy.py"
SERVICE = "server/finial/server/api/svid_service.py"
SPIFFE_ID = "core/finial/spiffe/spiffe_id.py"
TEMPLATE = "server/finial/server/signer/template.py"
TOKEN = "server/finial/server/signer/token.py"
VALIDATION = "server/finial/server/registry/validation.py"
WRITING = "core/finial/spiffe/bundle/writing.py"

OWN_ID = 'f"spiffe://{trust_domain}"'
ALTERNATIVE_NAMES = ".add_extension(x509.SubjectAlternativeName([own_id]), critical=False)"
USAGE_BITS = "0b1010_1000"
LONGEST = "if len(self.uri) <= MAX_URI else None"
NO_WORKLOAD = """f'"{found}" is not a workload"""
HEADER = '{"alg": algorithm, "kid": key_id, "typ": "JWT"}'
CLAIM_EXP = '"exp": order.expires_at,'


def leaf(template: tuple[str, str], lint: tuple[str, str]) -> Removal:
    """Another template, and a linter that means the same."""
    return Removal.together((TEMPLATE, *template), (LINT, *lint))


def published(field: str, instead: str) -> Removal:
    """Another document of the bundle."""
    return Removal(WRITING, field, instead)


REMOVALS: dict[str, tuple[Removal, ...]] = {
    "ID-17": (Removal(SPIFFE_ID, "MAX_URI = 2048", "MAX_URI = 2047"),),
    "ID-18": (Removal(SPIFFE_ID, LONGEST, "if self.uri else None"),),
    "ID-19": (Removal(CA, ALTERNATIVE_NAMES, ""),),
    "ID-20": (Removal(CA, OWN_ID, 'f"spiffe://{trust_domain}/ca"'),),
    "X509-01": (
        Removal(MINT, "if len(uris) > 1:", "if len(uris) > 9:"),
        leaf(
            (
                "der.sequence(*names, der.tlv(",
                "der.sequence(*names, der.tlv(_URI, b'spiffe://x/y'), der.tlv(",
            ),
            ("[(type(name), name.value) for name in found]", "_names(leaf)"),
        ),
    ),
    "X509-04": (
        Removal.together(
            (
                CONVERT,
                "    if not found.path:\n        raise ConversionError(\n            "
                + NO_WORKLOAD,
                "    if found.is_agent:\n        raise ConversionError(\n            "
                + NO_WORKLOAD,
            ),
            (
                POLICY,
                "if not spiffe_id.path or spiffe_id.is_reserved:",
                "if spiffe_id.is_reserved:",
            ),
        ),
        Removal(
            VALIDATION,
            '    if not spiffe_id.path:\n        raise _bad_id("spiffe"',
            '    if spiffe_id.is_agent:\n        raise _bad_id("spiffe"',
        ),
    ),
    "X509-05": (
        leaf(
            (
                "extension(SAN, _general_names(leaf))",
                "extension(SAN, _general_names(leaf), critical=True)",
            ),
            (
                "(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, False)",
                "(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, True)",
            ),
        ),
    ),
    "X509-06": (
        leaf(
            (
                'der.oid("2.5.29.19"), der.sequence(), critical=True',
                'der.oid("2.5.29.19"), der.sequence(der.TRUE), critical=True',
            ),
            ("x509.BasicConstraints(ca=False", "x509.BasicConstraints(ca=True"),
        ),
    ),
    "X509-07": (
        Removal(
            CA,
            "BasicConstraints(ca=True, path_length=None)",
            "BasicConstraints(ca=False, path_length=None)",
        ),
    ),
    "X509-09": (
        leaf(
            ("bytes((3, 0b1010_1000))), critical=True", "bytes((3, 0b1010_1000))), critical=False"),
            (
                "x509.Extension(_KEY_USAGE.oid, critical=True",
                "x509.Extension(_KEY_USAGE.oid, critical=False",
            ),
        ),
        Removal(
            CA,
            ".add_extension(_KEY_USAGE, critical=True)",
            ".add_extension(_KEY_USAGE, critical=False)",
        ),
    ),
    "X509-10": (Removal(CA, "key_cert_sign=True", "key_cert_sign=False"),),
    "X509-11": (
        leaf((USAGE_BITS, "0b0010_1000"), ("digital_signature=True", "digital_signature=False")),
    ),
    "X509-12": (
        leaf((f"3, {USAGE_BITS}", "2, 0b1010_1100"), ("key_cert_sign=False", "key_cert_sign=True")),
        leaf((f"3, {USAGE_BITS}", "1, 0b1010_1010"), ("crl_sign=False", "crl_sign=True")),
    ),
    "X509-13": (
        Removal.together(
            (
                TEMPLATE,
                "_FIXED = _KEY_USAGE + _EXTENDED_KEY_USAGE + _NOT_A_CA",
                "_FIXED = _KEY_USAGE + _NOT_A_CA",
            ),
            (
                LINT,
                "fixed, variable = extensions[:3], extensions[3:]",
                "fixed, variable = extensions[:2], extensions[2:]",
            ),
            (
                LINT,
                '_same("key usages and basic constraints", fixed, _FIXED)',
                '_same("key usages and basic constraints", fixed, _FIXED[::2])',
            ),
        ),
    ),
    "X509-14": (
        leaf(
            (', der.oid("1.3.6.1.5.5.7.3.2"))', ")"),
            (
                "[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]",
                "[ExtendedKeyUsageOID.SERVER_AUTH]",
            ),
        ),
    ),
    "X509-16": (Removal(CA, ALTERNATIVE_NAMES, ""),),
    "X509-17": (Removal(CA, OWN_ID, 'f"spiffe://{trust_domain}/ca"'),),
    "X509-18": (Removal(CA, OWN_ID, 'f"spiffe://ca.{trust_domain}"'),),
    "X509-25": (published('"use": "x509-svid",', '"use": "x509",'),),
    "X509-26": (published('"use": "x509-svid",', '"use": "x509-svid", "kid": "x",'),),
    "X509-27": (
        published("base64.b64encode(authority.der)", "base64.urlsafe_b64encode(authority.der)"),
        published(
            "[base64.b64encode(authority.der).decode()]",
            "[base64.b64encode(authority.der).decode()] * 2",
        ),
    ),
    "X509-28": (Removal(CA, "issuer_name=name", "issuer_name=_name(subject, serial + 1)"),),
    "JWT-01": (Removal(TOKEN, 'return f"{signed}.', 'return f"{signed}..'),),
    "JWT-03": (
        Removal(TOKEN, HEADER, '{"alg": algorithm, "kid": key_id, "typ": "JWT", "jku": "x"}'),
    ),
    "JWT-04": (Removal(TOKEN, HEADER, '{"alg": "none", "kid": key_id, "typ": "JWT"}'),),
    "JWT-07": (Removal(TOKEN, HEADER, '{"alg": algorithm, "typ": "JWT"}'),),
    "JWT-08": (Removal(TOKEN, HEADER, '{"alg": algorithm, "kid": key_id, "typ": "at+jwt"}'),),
    "JWT-09": (
        Removal(TOKEN, '"sub": order.spiffe_id,', '"sub": order.spiffe_id.rpartition("/")[2],'),
        Removal(
            CONVERT,
            'raise ConversionError("request must specify SPIFFE ID")',
            'return SpiffeId("spiffe://example.org/nobody")',
        ),
    ),
    "JWT-10": (
        Removal.together(
            (SERVICE, "    if not audience:\n", "    if audience is None:\n"),
            (
                POLICY,
                "if not values or len(values) > _MAX_AUDIENCE:",
                "if len(values) > _MAX_AUDIENCE:",
            ),
        ),
        Removal(TOKEN, '"aud": list(order.audience),', '"aud": list(order.audience)[:1],'),
    ),
    "JWT-14": (
        Removal(TOKEN, CLAIM_EXP, ""),
        Removal(TOKEN, CLAIM_EXP, '"exp": float(order.expires_at),'),
    ),
    "JWT-17": (
        Removal(TOKEN, '"iat": order.issued_at,', ""),
        Removal(TOKEN, "if order.include_jti else", "if order.audience else"),
    ),
    "JWT-20": (
        published('"kid": authority.key_id}', '"kid": authority.key_id.upper()}'),
        published('{"use": "jwt-svid"} |', "{} |"),
    ),
    "BND-04": (
        Removal(BUNDLES, "sequence=old.sequence + 1", "sequence=old.sequence"),
        Removal(BUNDLES, "            if new == old:\n                return old\n", ""),
    ),
    "WL-35": (
        Removal(VALIDATION, "if len(hint.encode()) > MAX_HINT:", "if len(hint) > MAX_HINT:"),
        Removal(VALIDATION, "MAX_HINT = 1024", "MAX_HINT = 1025"),
        Removal(VALIDATION, "MAX_HINT = 1024", "MAX_HINT = 1023"),
    ),
}
