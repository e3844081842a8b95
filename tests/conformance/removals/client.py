"""What our own command lines hold as clients of the Workload API."""

from tests.conformance.removal import Removal

ANSWERS = "agent/finial/agent/cli/answers.py"
ENDPOINT = "agent/finial/agent/cli/endpoint.py"
FETCH_JWT = "agent/finial/agent/cli/fetch_jwt.py"
FETCH_X509 = "agent/finial/agent/cli/fetch_x509.py"
SOCKETS = "core/finial/runtime/cli/sockets.py"
VALIDATE = "agent/finial/agent/cli/validate_jwt.py"
WATCH = "agent/finial/agent/cli/watch.py"
WORKLOAD = "agent/finial/agent/cli/workload.py"

HEADER = 'HEADER = (("workload.spiffe.io", "true"),)'
PATH = r're.compile(r"(?://)?(/(?!/)[^?#]*)")'
PLACE_V4 = "([0-9.]+)):([0-9]{1,5})"
FOR_GOOD = "frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED})"
CALL_AGAIN = "if not served or clock.monotonic() - opened < FIRST_PAUSE:"
JWT_CALL = "FetchJWTSVID(request, metadata=HEADER, timeout=timeout(call))"

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "WEP-04": (
        Removal(WORKLOAD, HEADER, "HEADER = ()"),
        Removal(WORKLOAD, HEADER, 'HEADER = (("workload.spiffe.io", "True"),)'),
        Removal(FETCH_X509, "metadata=HEADER", "metadata=HEADER[:0]"),
        Removal(FETCH_JWT, JWT_CALL, "FetchJWTSVID(request, timeout=timeout(call))"),
        Removal(
            FETCH_JWT,
            "JWTBundlesRequest(), metadata=HEADER",
            "JWTBundlesRequest(), metadata=HEADER[:0]",
        ),
        Removal(VALIDATE, "metadata=HEADER", "metadata=HEADER[:0]"),
        Removal(WATCH, "metadata=HEADER", "metadata=HEADER[:0]"),
    ),
    "WEP-09": (
        Removal(WORKLOAD, "    endpoint=Endpoint(endpoint.VARIABLE, endpoint.target),\n", ""),
        Removal(ENDPOINT, 'VARIABLE = "SPIFFE_ENDPOINT_SOCKET"', 'VARIABLE = "SPIFFE_ENDPOINT"'),
        Removal(SOCKETS, "if not path and self.endpoint and", "if self.endpoint and"),
    ),
    "WEP-10": (
        Removal(
            ENDPOINT, 'raise _bad("must begin with unix: or tcp:")', "return _unix(rest or address)"
        ),
        Removal(ENDPOINT, 'if scheme == "unix":', 'if scheme.startswith("unix"):'),
    ),
    "WEP-11": (
        Removal(ENDPOINT, PATH, r're.compile(r"(?://)?(/?(?!/)[^?#]*)")'),
        Removal(ENDPOINT, PATH, r're.compile(r"(?://[^/]*)?(/(?!/)[^?#]*)")'),
        Removal(ENDPOINT, PATH, r're.compile(r"(?://)?(/[^?#]*)")'),
        Removal(ENDPOINT, PATH, r're.compile(r"(?://)?(/(?!/)[^?#]*)(?:\?.*)?")'),
        Removal(ENDPOINT, PATH, r're.compile(r"(?://)?(/(?!/)[^?#]*)(?:#.*)?")'),
        Removal(ENDPOINT, PATH, r're.compile(r"//(/(?!/)[^?#]*)")'),
        Removal(ENDPOINT, "unquote(match[1])", "match[1]"),
    ),
    "WEP-12": (
        Removal.together(
            (ENDPOINT, PLACE_V4, "([0-9a-z.]+)):([0-9]{1,5})"),
            (ENDPOINT, "ip_address(v6 or v4)", 'ip_address(v6 or "127.0.0.1")'),
        ),
        Removal.together(
            (ENDPOINT, PLACE_V4, "([0-9.]+)):?([0-9]{0,5})"),
            (ENDPOINT, "int(port)", "int(port or 80)"),
        ),
        Removal(ENDPOINT, PLACE_V4, f"{PLACE_V4}/?"),
        Removal(ENDPOINT, PLACE_V4, rf"{PLACE_V4}(?:[/?#].*)?"),
        Removal(ENDPOINT, r're.compile(r"//(?:', r're.compile(r"//(?:[a-z:]+@)?(?:'),
        Removal(ENDPOINT, "or not 0 < int(port) < 1 << 16:", "or not port:"),
        Removal(ENDPOINT, "if host.version != (6 if v6 else 4) or not", "if not"),
        Removal(
            ENDPOINT, 'return f"[{host}]:{port}" if v6 else', 'return f"{host}:{port}" if v6 else'
        ),
    ),
    "WEP-13": (Removal(WATCH, FOR_GOOD, "frozenset({grpc.StatusCode.UNIMPLEMENTED})"),),
    "WEP-15": (
        Removal(WATCH, "if error.code() in FOR_GOOD:", "if error.code():"),
        Removal(WATCH, FOR_GOOD, f"{FOR_GOOD} | {{grpc.StatusCode.PERMISSION_DENIED}}"),
        Removal(WATCH, "cap=LONGEST_PAUSE", "cap=FIRST_PAUSE"),
        Removal(WATCH, "LONGEST_PAUSE = 30.0", "LONGEST_PAUSE = 300.0"),
        Removal(WATCH, "                pause.reset()\n", ""),
    ),
    "WEP-17": (Removal(WATCH, FOR_GOOD, "frozenset({grpc.StatusCode.INVALID_ARGUMENT})"),),
    "WL-03": (Removal(WATCH, FOR_GOOD, "frozenset({grpc.StatusCode.INVALID_ARGUMENT})"),),
    "WL-04": (
        Removal(WATCH, CALL_AGAIN, "if opened >= 0:"),
        Removal(
            WATCH,
            "                served = True\n",
            "                served = True\n                break\n",
        ),
    ),
    "WL-08": (
        Removal.together(
            (
                WATCH,
                "        served = False\n",
                "        served, kept = False, X509SVIDResponse()\n",
            ),
            (
                WATCH,
                "_show(call, response,",
                "kept.MergeFrom(response)\n                _show(call, kept,",
            ),
        ),
    ),
    "WL-10": (
        Removal(ANSWERS, "        _require(svid, _X509_FIELDS)\n", "        _require(svid, ())\n"),
        *(
            Removal(ANSWERS, f'"{field}"{comma}', "")
            for field, comma in (("x509_svid", ", "), ("x509_svid_key", ", "), ("bundle", ""))
        ),
        Removal(ANSWERS, "        _require(svid, _JWT_FIELDS)\n", "        _require(svid, ())\n"),
        Removal(ANSWERS, '_require(answer, ("bundles",))', "_require(answer, ())"),
        Removal(ANSWERS, '("spiffe_id", "claims")', '("spiffe_id",)'),
        Removal(ANSWERS, '("spiffe_id", "claims")', '("claims",)'),
        Removal(FETCH_X509, "x509_svids(await first(stream))", "await first(stream)"),
        Removal(WATCH, "described(x509_svids(response), seconds)", "described(response, seconds)"),
    ),
    "WL-16": (Removal(ANSWERS, "if svid.hint not in seen:", "if svid is not None:"),),
    "WL-32": (
        Removal(
            VALIDATE,
            "            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:\n",
            "            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:\n"
            '                call.console.show("SVID is valid.")\n'
            "                return\n",
        ),
    ),
}
