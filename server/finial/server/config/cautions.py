"""What is valid and still worth a word, of what is served over HTTP."""

from finial.runtime.config import Document, Reader, format_duration
from finial.server.config.federation import MINUTE
from finial.server.config.settings import HOUR, ServerSettings

_DAY = 24 * HOUR


def warn_of_endpoint(reader: Reader, document: Document, server: ServerSettings) -> None:
    """Note a bundle endpoint without profile, and a refresh hint that others won't follow."""
    endpoint = server.federation.bundle_endpoint
    if endpoint is None:
        return
    path = ("server", "federation", "bundle_endpoint")
    if endpoint.profile is None:
        text = "has no profile, and https_spiffe is used"
        reader.warn(document.mark(path), path, text, 'write profile "https_spiffe" {} in it')
    hint_path = (*path, "refresh_hint")
    hint = format_duration(endpoint.refresh_hint)
    if endpoint.refresh_hint < MINUTE:
        text = f"{hint} is less than the minute between two fetches of a SPIRE server"
        reader.warn(document.mark(hint_path), hint_path, text, "set it to 1m or more")
    elif endpoint.refresh_hint >= _DAY:
        text = f"after {hint} only would others learn of a key that was withdrawn"
        reader.warn(document.mark(hint_path), hint_path, text, "set it to some minutes, as 5m")


def warn_of_issuers(reader: Reader, document: Document, server: ServerSettings) -> None:
    """Note an issuer in JWT-SVIDs that is not the one of the discovery document.

    OpenID Connect Discovery section 4.3 has whoever validates a token compare the two.
    """
    discovery = server.oidc_discovery
    if discovery is None:
        return
    issuers = discovery.issuers()
    if server.disable_jwt_svids:
        path = ("server", "oidc_discovery")
        text = "has no keys to show, as JWT-SVIDs are disabled"
        reader.warn(document.mark(path), path, text, "remove it, or disable_jwt_svids")
    elif server.jwt_issuer not in issuers:
        path = ("server", "jwt_issuer")
        text = (
            f'is "{server.jwt_issuer}", where oidc_discovery names {" or ".join(issuers)}: who '
            "finds keys by discovery will refuse JWT-SVIDs"
        )
        reader.warn(document.mark(path), path, text, f'set jwt_issuer = "{issuers[0]}"')
