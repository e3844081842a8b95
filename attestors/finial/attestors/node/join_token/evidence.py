"""The evidence of a join token: the token's own bytes, nothing around them."""

from __future__ import annotations

TYPE = "join_token"

# A token ends up as a segment of the agent's SPIFFE ID; far longer ones could never be stored.
MAX_TOKEN_BYTES = 1024


class TokenError(ValueError):
    """The payload cannot be a join token; the message does not repeat it."""


def encode(token: str) -> bytes:
    """Return the attestation payload for a token."""
    return token.encode()


def decode(payload: bytes) -> str:
    """Return the token in an attestation payload. Raises TokenError."""
    if not payload or len(payload) > MAX_TOKEN_BYTES:
        raise TokenError("join token is empty or too long")
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise TokenError("join token is not text") from None


def check_settings(settings: object) -> None:
    """The attestor has no settings of its own. Raises ValueError naming the first one given."""
    if isinstance(settings, dict) and settings:
        name = min(settings)
        raise ValueError(f"join_token takes no settings, but {name!r} is set; remove it")


def agent_path(token: str) -> str:
    """Return the path of the SPIFFE ID that an agent attested by this token gets."""
    return f"/spire/agent/{TYPE}/{token}"
