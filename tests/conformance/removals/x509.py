"""Rows X509-*: validators, consumers, and the profile that the linter holds."""

from tests.conformance.removal import Removal

CERTIFICATE = "core/finial/spiffe/certificate.py"
CONSTRAINTS = "core/finial/spiffe/x509_svid/name_constraints.py"
IDENTITY = "core/finial/spiffe/x509_svid/identity.py"
LINT = "core/finial/spiffe/x509_svid/lint.py"
MODEL = "core/finial/spiffe/bundle/model.py"
PATH = "core/finial/spiffe/x509_svid/path.py"
READING = "core/finial/spiffe/bundle/reading.py"
VERIFY = "core/finial/spiffe/x509_svid/verify.py"
WRITING = "core/finial/spiffe/bundle/writing.py"

LEAF_IS_CA = (VERIFY, "if certificate.is_ca(leaf):", "if leaf.version is None:")
LEAF_SIGNS = (
    VERIFY,
    "if usage is not None and usage.value.key_cert_sign:",
    "if usage is None and leaf.version is None:",
)
LEAF_SIGNS_CRLS = (
    VERIFY,
    "if usage is not None and usage.value.crl_sign:",
    "if usage is None and leaf.version is None:",
)
TWO_URIS = (IDENTITY, "if len(uris) > 1:", "if len(uris) > 9:")
TAKE = "_append(document.x509_authorities, X509Authority.from_der(_first_certificate(jwk)))"


def unlinted(condition: str) -> Removal:
    """The linter without one of its demands."""
    return Removal(LINT, f"_require({condition},", "_require(True,")


REMOVALS: dict[str, tuple[Removal, ...]] = {
    "X509-01": (
        Removal.together(
            TWO_URIS, (LINT, "_require(len(sans.value) == len(found) + 1,", "_require(True,")
        ),
        unlinted("spiffe_id_of(cert) == spiffe_id"),
    ),
    "X509-02": (
        Removal(*TWO_URIS),
        Removal(
            IDENTITY, "if len(uris) > 1:", 'if sum(uri.startswith("spiffe:") for uri in uris) > 1:'
        ),
        Removal(
            IDENTITY, "if not uris:", 'uris = uris or ["spiffe://example.org/a"]\n    if not uris:'
        ),
    ),
    "X509-03": (
        Removal(
            CERTIFICATE,
            "names.value.get_values_for_type(x509.UniformResourceIdentifier)",
            "[str(name.value) for name in names.value]",
        ),
    ),
    "X509-04": (
        Removal(VERIFY, "if not spiffe_id.path:", "if leaf.version is None:"),
        unlinted("bool(spiffe_id.path)"),
    ),
    "X509-05": (
        unlinted("sans.critical == (not cert.subject.rdns)"),
        Removal(
            LINT, "sans.critical == (not cert.subject.rdns)", "sans.critical or cert.subject.rdns"
        ),
    ),
    "X509-06": (unlinted("not constraints.value.ca"), unlinted("constraints.critical")),
    "X509-07": (
        unlinted("constraints is not None and constraints.value.ca"),
        unlinted("constraints is not None and constraints.critical"),
        Removal(
            PATH,
            "if constraints is None or not constraints.value.ca:",
            "if constraints is None:",
        ),
    ),
    "X509-08": (
        Removal(
            PATH,
            "if limit is not None and sum(c.subject != c.issuer for c in below[1:]) > limit:",
            "if limit is not None and limit < 0:",
        ),
        Removal(PATH, "for c in below[1:]) > limit", "for c in below) > limit"),
        Removal(PATH, "for c in below[1:]) > limit", "for c in below[2:]) > limit"),
    ),
    "X509-09": (
        unlinted("usage.critical"),
        unlinted("usage is not None and usage.critical"),
    ),
    "X509-10": (
        Removal(LINT, "usage is not None and usage.value.key_cert_sign, ", "usage is not None, "),
        Removal(
            PATH,
            "if usage is not None and not usage.value.key_cert_sign:",
            "if usage is not None and usage.oid is None:",
        ),
    ),
    "X509-11": (
        unlinted("usage.value.digital_signature"),
        Removal(
            LINT,
            "not usage.value.content_commitment and not usage.value.data_encipherment",
            "not usage.value.content_commitment",
        ),
    ),
    "X509-12": (
        unlinted("not usage.value.key_cert_sign and not usage.value.crl_sign"),
        Removal(
            LINT,
            "not usage.value.key_cert_sign and not usage.value.crl_sign",
            "not usage.value.key_cert_sign",
        ),
    ),
    "X509-13": (
        Removal.together(
            (LINT, "_require(extended is not None,", "_require(True,"),
            (LINT, "_require(purposes == both,", "_require(not purposes or purposes == both,"),
        ),
    ),
    "X509-14": (
        Removal(LINT, "_require(purposes == both,", "_require(purposes <= both,"),
        Removal(LINT, "_require(purposes == both,", "_require(bool(purposes),"),
    ),
    "X509-15": (
        Removal(
            PATH,
            "    usage = certificate.extension(ca, x509.KeyUsage)\n",
            "    usage = certificate.extension(ca, x509.KeyUsage)\n"
            "    if certificate.extension(ca, x509.ExtendedKeyUsage) is not None:\n"
            '        raise X509SvidError("purposes are nested")\n',
        ),
    ),
    "X509-16": (
        Removal(
            LINT,
            "_require(spiffe_id_of(cert) == trust_domain.id,",
            "_require(not certificate.uris_of(cert) or spiffe_id_of(cert) == trust_domain.id,",
        ),
    ),
    "X509-17": (
        Removal(
            LINT,
            "spiffe_id_of(cert) == trust_domain.id",
            "spiffe_id_of(cert).trust_domain == trust_domain",
        ),
    ),
    "X509-18": (
        Removal(LINT, "spiffe_id_of(cert) == trust_domain.id", 'spiffe_id_of(cert).path == ""'),
    ),
    "X509-19": (Removal.together(LEAF_IS_CA, LEAF_SIGNS, LEAF_SIGNS_CRLS),),
    "X509-20": (
        Removal(PATH, "if now < validity.not_before:", "if now < 0:"),
        Removal(PATH, "if not validity.covers(now):", "if now < validity.not_before:"),
        Removal(PATH, "            check_certificate(issuer, self.now)\n", ""),
        Removal(VERIFY, "    check_certificate(leaf, now)\n", ""),
        Removal(PATH, "cert.verify_directly_issued_by(issuer)", "pass"),
        Removal(PATH, "if extension.critical and", "if extension.critical is None and"),
        Removal(PATH, "if extension.critical and extension.oid", "if extension.oid"),
        Removal(
            PATH,
            "for candidate in _by_key_id(path[-1], self.intermediates):",
            "for candidate in self.intermediates[:0]:",
        ),
        Removal(CERTIFICATE, "self.not_before <= now <= self.not_after", "self.not_before <= now"),
        Removal(CERTIFICATE, "now <= self.not_after", "now < self.not_after"),
    ),
    "X509-21": (Removal(*LEAF_IS_CA),),
    "X509-22": (Removal(*LEAF_SIGNS), Removal(*LEAF_SIGNS_CRLS)),
    "X509-23": (
        Removal("core/finial/spiffe/spiffe_id.py", 'r"spiffe://(', 'r"(?:spiffe|https)://('),
        Removal(IDENTITY, "SpiffeId(uris[0])", 'SpiffeId(uris[0].rstrip("/"))'),
        Removal(IDENTITY, "SpiffeId(uris[0])", "SpiffeId(uris[0].lower())"),
    ),
    "X509-24": (
        Removal(PATH, "    name_constraints.check(ca, below)\n", ""),
        Removal(
            CONSTRAINTS,
            "    x509.UniformResourceIdentifier: _uri_within,",
            "    x509.UniformResourceIdentifier: lambda uri, tree: True,",
        ),
    ),
    "X509-25": (Removal(WRITING, '"use": "x509-svid"', '"use": "x509"'),),
    "X509-26": (
        Removal(
            WRITING, '"use": "x509-svid",', '"use": "x509-svid", "kid": authority.authority_id,'
        ),
    ),
    "X509-27": (
        Removal(WRITING, "if not certificate.is_ca(authority.cert):", "if not authority.der:"),
        Removal(
            WRITING, "base64.b64encode(authority.der)", "base64.urlsafe_b64encode(authority.der)"
        ),
        Removal(
            WRITING,
            "[base64.b64encode(authority.der).decode()]",
            "[base64.b64encode(authority.der).decode()] * 2",
        ),
    ),
    "X509-28": (unlinted("cert.subject == cert.issuer"),),
    "X509-29": (
        Removal(
            READING,
            'document.complaints.append(f"key {index}: {error}")',
            'raise BundleError(f"key {index}: {error}") from None',
        ),
        Removal(
            READING,
            f"        {TAKE}\n",
            f"        {TAKE}\n"
            '        for x5c in jwk["x5c"][1:]:\n'
            "            der = binascii.a2b_base64(x5c)\n"
            "            _append(document.x509_authorities, X509Authority.from_der(der))\n",
        ),
    ),
    "X509-30": (
        Removal(READING, "if authority not in authorities:", "if not authorities:"),
        Removal(VERIFY, "if not bundle.x509_authorities:", "if bundle.refresh_hint < 0:"),
    ),
    "X509-31": (
        Removal(
            VERIFY,
            "if bundle is None or bundle.trust_domain != trust_domain:",
            "if bundle is None:",
        ),
        Removal.together(
            (MODEL, "return self if trust_domain == self.trust_domain else None", "return self"),
            (
                VERIFY,
                "if bundle is None or bundle.trust_domain != trust_domain:",
                "if bundle is None:",
            ),
        ),
    ),
}
