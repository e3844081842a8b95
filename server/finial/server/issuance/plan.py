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
        guaranteed: what an authority about to be replaced still covers; an SVID that is to live
            longer is at times cut short. 0 for not known.
        authority: `ca_ttl`, for authorities of downstream servers.
    """

    x509: int = 3600
    jwt: int = 300
    agent: int = 0
    longest_x509: int
    longest_jwt: int
    guaranteed: int = 0
    authority: int = 86_400

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

    def of_downstream(self, wanted: int) -> int:
        """The lifetime of a downstream server's authority; as `of_x509`."""
        return min(wanted, self.authority) if wanted > 0 else self.authority

    def surely(self, wanted: int) -> int:
        """Seconds of `wanted` that every authority leaves: the effective TTL at worst."""
        return min(wanted, self.guaranteed) if self.guaranteed else wanted


class Validity(NamedTuple):
    """From when to when.

    Attributes:
        effective: seconds from the issue to the end.
        cut: seconds by which that is less than was asked for.
    """

    not_before: int
    not_after: int
    effective: int
    cut: int = 0


def validity(
    ttl: int, authority_end: int, now: float, *, backdate: int = BACKDATE
) -> Validity | None:
    """The validity of a document of that lifetime, cut to its authority's: the one place of it.

    None when the authority has ended.
    """
    issued = int(now)
    not_after = min(issued + ttl, authority_end)
    if not_after <= issued:
        return None
    effective = not_after - issued
    return Validity(issued - backdate, not_after, effective, ttl - effective)
