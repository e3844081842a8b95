"""Rows BND-13 to BND-18: bundle maps, and how often bundles are fetched."""

from tests.conformance.removal import Removal

MAP = "core/finial/spiffe/bundle/bundle_map.py"
POLLING = "core/finial/spiffe/federation/polling.py"
STRICT_JSON = "core/finial/spiffe/strict_json.py"

WITHOUT_HINTS = "listed = [replace(bundle, refresh_hint=0) for bundle in bundles]"

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "BND-13": (
        Removal(POLLING, "DEFAULT_INTERVAL = 300", "DEFAULT_INTERVAL = 3600"),
        Removal(POLLING, "hint or DEFAULT_INTERVAL", "hint"),
    ),
    "BND-14": (
        Removal(
            MAP,
            'found = members.get("trust_domains")',
            'found = members.get("trust_domains") or {}',
        ),
        Removal(
            MAP, "if not isinstance(found, dict):", "if not found or not isinstance(found, dict):"
        ),
        Removal(MAP, "TrustDomain(name)", "TrustDomain.parse(name.lower())"),
        Removal(
            MAP,
            'raise BundleError(f"bundle map: {quoted(name)}: {error}") from None',
            "continue",
        ),
    ),
    "BND-15": (Removal(MAP, "if len(self) != len(listed):", "if False:"),),
    "BND-16": (Removal(STRICT_JSON, "if len(members) != len(pairs):", "if False:"),),
    "BND-17": (Removal(MAP, WITHOUT_HINTS, "listed = list(bundles)"),),
    "BND-18": (Removal(MAP, WITHOUT_HINTS, "listed = list(bundles)"),),
}
