"""Rows WL-*: the endpoint."""

from tests.conformance.removal import Removal

API = "agent/finial/agent/endpoints/workload.py"
BUNDLES = "agent/finial/agent/cache/bundles.py"
ENCODING = "agent/finial/agent/cache/encoding.py"
ENTRIES = "agent/finial/agent/cache/entries.py"
STREAMS = "agent/finial/agent/endpoints/streams.py"
VALIDATION = "agent/finial/agent/endpoints/validation.py"
VIEWS = "agent/finial/agent/cache/views.py"
WORKLOADS = "agent/finial/agent/cache/workloads.py"

JOINED = 'x509_svid=b"".join(svid.chain)'
KEY = "x509_svid_key=svid.key_pkcs8,"
MESSAGE = 'Outcome(State.READY, b"".join(ready), complete=not coming)'
OF_THE_IDENTITY = "if wanted is None or entry.spiffe_id == wanted"
NO_AUDIENCE = "if not any(audience):"
VALIDATED = (
    "jwt_svid.validate(\n                request.svid, source, request.audience, "
    "self._clock.time(), proven=self._proven\n            )"
)
NO_ENTRIES = (
    "        if not view.entries and not self._bundles_for_all:\n"
    "            bundles_x509 = bundles_jwt = NO_IDENTITY\n"
)
FEDERATED = "federated = self.bundles.federated(_federates_with(view.entries))"
WITHHELD = "if trust_domain != self._own and not any("
UNIMPLEMENTED = 'raise StatusError(grpc.StatusCode.UNIMPLEMENTED, "off")'

UNJUDGED_AUDIENCE = Removal.together(
    (API, "if not request.audience:", "if request.audience is None:"),
    (
        "core/finial/spiffe/jwt_svid/validation.py",
        "    if not audience:\n",
        "    if audience is None:\n",
    ),
)

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "WL-01": (
        Removal(API, "return self._subscribe(context, Topic.X509_SVID)", UNIMPLEMENTED),
        Removal(API, "return self._subscribe(context, Topic.X509_BUNDLES)", UNIMPLEMENTED),
        Removal(API, "return self._subscribe(context, Topic.JWT_BUNDLES)", UNIMPLEMENTED),
        Removal(
            API,
            "        audience = tuple(request.audience)\n",
            f"        audience = tuple(request.audience)\n        {UNIMPLEMENTED}\n",
        ),
        Removal(
            API,
            "        if not request.audience:\n",
            f"        {UNIMPLEMENTED}\n        if not request.audience:\n",
        ),
    ),
    "WL-05": (Removal(WORKLOADS, MESSAGE, MESSAGE.replace("ready)", "ready[-1:])")),),
    "WL-06": (
        Removal(
            STREAMS,
            "self._write(self._told_by.listen(self._view, self._topic, self))",
            "self._told_by.listen(self._view, self._topic, self)",
        ),
    ),
    "WL-07": (
        Removal(
            STREAMS, "            self._fan_out.add(self)\n", "            self._queued = False\n"
        ),
        Removal.together(
            (VIEWS, "if self.outcomes.get(topic) == outcome:", "if outcome is None:"),
            (STREAMS, "if outcome.message != self._sent and (", "if outcome.message and ("),
            (WORKLOADS, "        for view in concerned:\n", "        for view in self._views:\n"),
        ),
    ),
    "WL-09": (
        Removal(API, NO_AUDIENCE, "if audience is None:"),
        Removal(API, NO_AUDIENCE, "if not audience:"),
        UNJUDGED_AUDIENCE,
        Removal(API, "if not request.svid:", "if request.svid is None:"),
    ),
    "WL-12": (
        Removal(
            WORKLOADS,
            "            return WAITING if coming else UNAVAILABLE\n",
            "            return WAITING if coming else Outcome(State.READY)\n",
        ),
    ),
    "WL-13": (
        Removal(ENCODING, JOINED, "x509_svid=svid.chain[0]"),
        Removal(ENCODING, JOINED, 'x509_svid=b"".join(svid.chain[::-1])'),
        Removal(ENCODING, "bundle=bundle_der", "bundle=svid.chain[-1]"),
        Removal(
            ENCODING,
            KEY,
            "x509_svid_key=sec1(svid.key_pkcs8),",
            (
                Removal(
                    ENCODING,
                    "def x509_svid_part(",
                    "def sec1(pkcs8: bytes) -> bytes:\n"
                    "    from cryptography.hazmat.primitives import serialization as s\n\n"
                    "    key = s.load_der_private_key(pkcs8, None)\n"
                    "    form = s.PrivateFormat.TraditionalOpenSSL\n"
                    "    return key.private_bytes(s.Encoding.DER, form, s.NoEncryption())\n\n\n"
                    "def x509_svid_part(",
                ),
            ),
        ),
    ),
    "WL-14": (
        Removal(ENCODING, "return bundle.trust_domain.id.uri", "return bundle.trust_domain.name"),
        Removal(
            BUNDLES,
            "wanted = sorted(set(names) - {self._own},",
            "wanted = sorted(set(self._encoded) - {self._own},",
        ),
        Removal(
            ENCODING,
            f"                spiffe_id=svid.id.uri,\n                {JOINED}",
            f"                {JOINED}",
        ),
    ),
    "WL-15": (
        Removal(
            ENTRIES,
            "(entry for entry in entries if not entry.hint or keeper[entry.hint] is entry)",
            "(entry for entry in entries)",
        ),
        Removal(ENTRIES, "(entry.created_at, entry.id) <", "(entry.created_at, entry.id) >"),
        Removal(ENTRIES, "if not entry.hint or keeper", "if keeper"),
    ),
    "WL-17": (
        Removal(
            STREAMS,
            "elif outcome.state is State.NO_IDENTITY:",
            "elif outcome.state is State.NO_IDENTITY and self._sent is None:",
        ),
    ),
    "WL-19": (
        Removal(WORKLOADS, "shown = (own, *federated)", "shown = (*federated,)"),
        Removal(WORKLOADS, "shown = (own, *federated)", "shown = (own,)"),
        Removal(ENCODING, "return bundle.trust_domain.id.uri", "return bundle.trust_domain.name"),
    ),
    "WL-20": (
        Removal(
            WORKLOADS,
            NO_ENTRIES,
            NO_ENTRIES.replace("if not view.entries and not", "if self.trust_domain is None and"),
        ),
        Removal(WORKLOADS, NO_ENTRIES, NO_ENTRIES.replace(" and not self._bundles_for_all", "")),
        Removal(
            WORKLOADS,
            f"            {FEDERATED}\n            shown",
            f"            {FEDERATED.replace('view.entries', 'self.entries.values()')}\n"
            "            shown",
        ),
    ),
    "WL-21": (
        Removal(API, NO_AUDIENCE, "if audience is None:"),
        Removal(
            API,
            "        audience = tuple(request.audience)\n",
            "        audience = tuple(request.audience)[:1]\n",
        ),
    ),
    "WL-22": (
        Removal(
            API,
            "        if not entries:\n",
            "        entries = entries[:1]\n        if not entries:\n",
        ),
    ),
    "WL-23": (
        Removal(API, OF_THE_IDENTITY, "if wanted is None or entry.spiffe_id"),
        Removal(
            API,
            'raise _invalid(f"invalid requested SPIFFE ID: {error}") from None',
            'return SpiffeId("spiffe://example.org/w")',
        ),
    ),
    "WL-24": (
        Removal(
            API,
            "        if not entries:\n",
            "        entries = entries or list(self._workloads.view(selectors).entries)\n"
            "        if not entries:\n",
        ),
    ),
    "WL-25": (
        Removal(
            API,
            "pb.JWTSVID(spiffe_id=token.spiffe_id.uri, svid=token.token",
            "pb.JWTSVID(svid=token.token",
        ),
        Removal(API, "svid=token.token, hint=entry.hint", "hint=entry.hint"),
        Removal(
            API, "for entry, token in zip(entries, tokens, strict=True)", "for entry, token in ()"
        ),
    ),
    "WL-26": (
        Removal(WORKLOADS, "shown = (own, *federated)", "shown = (*federated,)"),
        Removal(ENCODING, "return bundle.trust_domain.id.uri", "return bundle.trust_domain.name"),
        Removal(
            ENCODING,
            "{_key(bundle): bundle.jwt_jwks()}",
            '{_key(bundle): bundle.jwt_jwks().replace(b"keys", b"jwks")}',
        ),
    ),
    "WL-27": (Removal(ENCODING, "bundle.jwt_jwks()})", "bundle.to_jwks()})"),),
    "WL-28": (
        Removal(WORKLOADS, NO_ENTRIES, f"{NO_ENTRIES}            bundles_jwt = UNAVAILABLE\n"),
        Removal(
            WORKLOADS,
            NO_ENTRIES,
            NO_ENTRIES.replace("if not view.entries and not", "if self.trust_domain is None and"),
        ),
    ),
    "WL-29": (
        Removal(API, VALIDATED, "jwt_svid.parse_unverified(request.svid)"),
        Removal(
            API,
            "except (JwtSvidError, OverflowError) as error:\n"
            "            raise _invalid(str(error)) from None",
            "except (JwtSvidError, OverflowError) as error:\n"
            "            raise StatusError(grpc.StatusCode.UNAUTHENTICATED, str(error)) from None",
        ),
    ),
    "WL-30": (
        Removal(VALIDATION, "    if not foreign:\n        return claims\n", ""),
        Removal(VALIDATION, "    if not foreign:\n", "    if foreign or not foreign:\n"),
        Removal(
            VALIDATION, "if name in FOREIGN_CLAIMS or name in allowed", "if name in FOREIGN_CLAIMS"
        ),
        Removal(VALIDATION, 'frozenset({"sub", "exp", "aud"})', 'frozenset({"sub", "exp"})'),
        Removal(
            VALIDATION,
            "    for name, value in claims.items():\n        _set(fields[name], value)\n",
            "    for name, value in claims.items():\n"
            "        if isinstance(value, str):\n            _set(fields[name], value)\n",
        ),
    ),
    "WL-31": (
        UNJUDGED_AUDIENCE,
        Removal(API, "if not request.svid:", "if request.svid is None:"),
        Removal(
            VALIDATION,
            "pb.ValidateJWTSVIDResponse(spiffe_id=svid.id.uri)",
            "pb.ValidateJWTSVIDResponse()",
        ),
    ),
    "WL-32": (Removal(VALIDATION, WITHHELD, "if trust_domain is None and not any("),),
    "WL-36": (
        Removal(
            ENTRIES,
            "return tuple(sorted(kept, key=lambda entry: entry.id))",
            "return tuple(sorted(kept, key=lambda entry: entry.id, reverse=True))",
        ),
        Removal(
            ENTRIES,
            "return tuple(sorted(kept, key=lambda entry: entry.id))",
            "return tuple(sorted(kept, key=lambda entry: hash(entry.id)))",
        ),
    ),
}
