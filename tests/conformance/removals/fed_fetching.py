"""Rows FED-04, FED-22 and FED-32."""

from tests.conformance.removal import Removal

STORE = "server/finial/server/datastore/federated_bundles.py"
REFRESHER = "server/finial/server/federation/refresher.py"
TLS = "core/finial/runtime/web/tls.py"

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "FED-04": (Removal(STORE, "if outcome.verdict not in _ASIDE or confirmed:", "if False:"),),
    "FED-22": (
        Removal(TLS, "context.check_hostname = True", "context.check_hostname = False"),
        Removal(TLS, "hostname_checks_common_name = False", "hostname_checks_common_name = True"),
        Removal(
            TLS,
            "    context.set_default_verify_paths()\n",
            "    context.check_hostname = False\n    context.verify_mode = ssl.CERT_NONE\n",
        ),
    ),
    "FED-32": (
        Removal(
            REFRESHER,
            "wait = refresh_interval(held)",
            "wait = 1 if error else refresh_interval(held)",
        ),
    ),
}
