"""Rows ID-*."""

from tests.conformance.removal import Removal

ID = "core/finial/spiffe/spiffe_id.py"
DOMAIN = "core/finial/spiffe/trust_domain.py"
PATH = "core/finial/spiffe/x509_svid/path.py"
SIGNATURE = "core/finial/spiffe/jose/signature.py"
CA = "server/finial/server/signer/ca_certificate.py"

VERIFIED = (
    "if not token.algorithm.verify(authority.public_key, token.signature, token.signing_input):"
)
SCHEME = 'r"spiffe://('
NAME = "([a-z0-9._-]{1,255})"
SEGMENTS = "((?:/[a-zA-Z0-9._-]+)*)"
ALONE = 'r"[a-z0-9._-]{1,255}"'
JUDGED = "if _NAME.fullmatch(self.name) is None:"


def name_taken(pattern: str) -> Removal:
    """Trust domain names of another pattern, in an ID and alone."""
    return Removal.together((ID, NAME, f"({pattern})"), (DOMAIN, ALONE, f'r"{pattern}"'))


REMOVALS: dict[str, tuple[Removal, ...]] = {
    "ID-01": (
        Removal(ID, SCHEME, 'r"[a-z]*:?/*('),
        Removal(ID, 'return "cannot be empty"', 'return "scheme is missing or invalid"'),
    ),
    "ID-02": (name_taken("[a-z0-9._-]{0,255}"),),
    "ID-03": (
        Removal(ID, SEGMENTS, rf"{SEGMENTS}(?:\?.*)?"),
        Removal(ID, SEGMENTS, f"{SEGMENTS}(?:#.*)?"),
    ),
    "ID-04": (
        Removal(ID, NAME, f"(?:[a-z]*@)?{NAME}"),
        Removal(ID, NAME, f"{NAME}(?::[0-9]*)?"),
    ),
    "ID-05": (
        name_taken("[a-zA-Z0-9._-]{1,255}"),
        name_taken("[a-z0-9._$-]{1,255}"),
        name_taken(r"[^/%\\[\\]:]{1,255}"),
        Removal(DOMAIN, ALONE, 'r"[a-z0-9._-]{1,255}\\n?"'),
    ),
    "ID-06": (name_taken("[a-z0-9._%-]{1,255}"),),
    "ID-07": (name_taken("[a-z0-9._-]{1,256}"), name_taken("[a-z0-9._-]{1,254}")),
    "ID-08": (
        Removal(DOMAIN, JUDGED, 'if self.name.replace(".", "").isdigit() or ".." in self.name:'),
        Removal(DOMAIN, JUDGED, 'if not self.name[:1].isalnum() or _NAME.match("") is not None:'),
        name_taken(r"[a-z0-9._-]{1,255}|\[[0-9a-f:]*\]"),
    ),
    "ID-09": (Removal(ID, SEGMENTS, "((?:/[a-zA-Z0-9._%-]+)*)"),),
    "ID-10": (Removal(ID, SEGMENTS, "((?:/+[a-zA-Z0-9._-]+)*)"),),
    "ID-11": (Removal(ID, SEGMENTS, "((?:/[a-zA-Z0-9._-]+)*/?)"),),
    "ID-12": (
        Removal(ID, 'if "/." in path and _has_dot_segment(path):', "if False:"),
        Removal(ID, 'segment in {".", ".."}', 'segment == "."'),
        Removal(ID, 'segment in {".", ".."}', 'segment == ".."'),
        Removal(ID, 'segment in {".", ".."}', 'segment.startswith(".")'),
    ),
    "ID-13": (
        Removal(ID, SEGMENTS, "((?:/[a-zA-Z0-9._~-]+)*)"),
        Removal(ID, SEGMENTS, "((?:/[a-z0-9._-]+)*)"),
    ),
    "ID-14": (Removal(ID, SEGMENTS, "((?:/[a-zA-Z0-9._-]+)+)"),),
    "ID-15": (
        Removal(
            ID,
            'object.__setattr__(self, "path", path)',
            'object.__setattr__(self, "path", path)\n'
            '        object.__setattr__(self, "uri", self.uri.lower())',
        ),
    ),
    "ID-16": (
        Removal.together(
            (ID, f'{SEGMENTS}")', f'{SEGMENTS}", re.IGNORECASE)'),
            (DOMAIN, f"re.compile({ALONE})", f"re.compile({ALONE}, re.IGNORECASE)"),
        ),
    ),
    "ID-17": (Removal(ID, "MAX_URI = 2048", "MAX_URI = 2047"),),
    "ID-18": (
        Removal(ID, "if len(self.uri) <= MAX_URI else None", "if self.uri else None"),
        Removal(ID, "MAX_URI = 2048", "MAX_URI = 2049"),
    ),
    "ID-19": (
        Removal(CA, ".add_extension(x509.SubjectAlternativeName([own_id]), critical=False)", ""),
    ),
    "ID-20": (
        Removal(CA, 'f"spiffe://{trust_domain}"', 'f"spiffe://{trust_domain}/ca"'),
        Removal(
            "core/finial/spiffe/x509_svid/lint.py",
            "_require(spiffe_id_of(cert) == trust_domain.id,",
            "_require(spiffe_id_of(cert).trust_domain == trust_domain,",
        ),
    ),
    "ID-21": (
        Removal(PATH, "cert.verify_directly_issued_by(issuer)", "pass"),
        Removal(SIGNATURE, VERIFIED, "if not token.signing_input:"),
    ),
    "ID-22": (
        Removal(SIGNATURE, VERIFIED, "if not token.signing_input:"),
        Removal(
            "core/finial/spiffe/jwt_svid/token.py",
            "if not isinstance(typ, str) or typ not in _TYPES:",
            "if typ is None:",
        ),
        Removal(
            "core/finial/spiffe/x509_svid/verify.py",
            "        return [certificate.load(der) for der in chain_der]\n",
            "        return [certificate.load(der) for der in chain_der if der[:1] == b'0']\n",
        ),
    ),
}
