"""How long a document lives. Pure; Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from finial.server.signer.model import BACKDATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """Seconds that documents live unless their order says otherwise.

    Attributes:
        x509: `default_x509_svid_ttl`; also the server's own.
        jwt: `default_jwt_svid_ttl`.
        agent: `agent_ttl`; 0 for the X509-SVIDs' default.
        longest_x509: the signers' cap.
        longest_jwt: the signers' cap.
    """

    x509: int = 3600
    jwt: int = 300
    agent: int = 0
    longest_x509: int
    longest_jwt: int

    def of_x509(self, kind: str, wanted: int) -> int:
        """The lifetime of an X509-SVID for which `wanted` seconds are asked, 0 for the default."""
        default = self.agent or self.x509 if kind == "agent" else self.x509
        return min(wanted if wanted > 0 else default, self.longest_x509)

    def of_wit(self, wanted: int) -> int:
        """The lifetime of a WIT-SVID, which is an X509-SVID's, as SPIRE's are; as `of_x509`."""
        return self.of_x509("workload", wanted)

    def of_jwt(self, wanted: int) -> int:
        """The lifetime of a JWT-SVID; as `of_x509`."""
        return min(wanted if wanted > 0 else self.jwt, self.longest_jwt)


class Validity(NamedTuple):
    """From when to when."""

    not_before: int
    not_after: int


def validity(
    ttl: int, authority_end: int, now: float, *, backdate: int = BACKDATE
) -> Validity | None:
    """The validity of a document of that lifetime, cut to its authority's.

    None when the authority has ended.
    """
    issued = int(now)
    not_after = min(issued + ttl, authority_end)
    return Validity(issued - backdate, not_after) if not_after > issued else None
