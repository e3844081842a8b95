"""What a signature costs: rate, and microseconds of processor time where they are spent.

Run from the repository's root with its import path set: `python tests/bench/signer/figures.py`.
`--issuer` measures through the issuer and a SQLite record in a temporary folder as well.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from finial.api.finial import signer_pb2
from finial.runtime.clock import SystemClock
from finial.runtime.observe import Observer
from finial.server.authority.rotator import Authority
from finial.server.datastore.database import Database
from finial.server.datastore.issued import IssuedStore
from finial.server.issuance import IssuedJwt, IssuedX509, Issuer, JwtOrder, Lifetimes, X509Order
from finial.server.signer.model import AuthorityKind, AuthorityRef, KeyType, SignerSettings
from finial.server.signer.pool import SignerPool
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.signers import csr

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DAY = 86_400
WEB = SpiffeId.parse("spiffe://example.org/web")
LOADS = ((1, 1), (1, 8), (1, 64), (50, 8), (500, 8))
"""Documents a call, callers."""


class Authorities:
    """The two authorities of this run."""

    def __init__(self, made: dict[AuthorityKind, AuthorityRef]) -> None:
        self._made = made

    def active(self, kind: AuthorityKind) -> Authority:
        ref = self._made[kind]
        return Authority(
            id=ref.id, slot=ref.slot, not_before=ref.not_before, not_after=ref.not_after
        )

    async def reserve(self, kind: AuthorityKind, authority_id: str, until: int) -> None:
        """Nothing is noted here."""

    def is_trusted(self, kind: AuthorityKind, authority_id: str) -> bool:
        """Whether it is the one there is: nobody taints anything here."""
        return authority_id == self._made[kind].id


def spent(pid: int) -> float:
    """Seconds that a process has had a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def load(
    what: str, pool: SignerPool, call: Callable[[int], Awaitable[None]], seconds: float
) -> None:
    """Run every load for some seconds and print a line each."""
    for batch, callers in LOADS:
        done = 0
        end = time.monotonic() + seconds
        own, signers = time.process_time(), sum(map(spent, pool.pids))
        begun = time.monotonic()

        async def caller(batch: int = batch, end: float = end) -> int:
            mine = 0
            while time.monotonic() < end:
                await call(batch)
                mine += batch
            return mine

        done = sum(await asyncio.gather(*(caller() for _ in range(callers))))
        rate = done / (time.monotonic() - begun)
        own_us = (time.process_time() - own) / done * 1e6
        signers_us = (sum(map(spent, pool.pids)) - signers) / done * 1e6
        sys.stdout.write(
            f"{what:12} batch {batch:3} callers {callers:2}: {rate:8,.0f}/s"
            f"  here {own_us:6.1f} us  signers {signers_us:6.1f} us\n"
        )


async def raw(pool: SignerPool, made: dict[AuthorityKind, AuthorityRef], seconds: float) -> None:
    """The pool alone."""
    now = int(time.time())
    order = signer_pb2.X509Order(
        kind=signer_pb2.X509Order.WORKLOAD,
        spiffe_id=WEB.uri,
        csr=csr(),
        not_before=now - 10,
        not_after=now + 3600,
    )
    token = signer_pb2.JwtOrder(
        spiffe_id=WEB.uri, audience=["db"], issued_at=now, expires_at=now + 300
    )

    async def x509(batch: int) -> None:
        results = await pool.sign_x509(made[AuthorityKind.X509].id, [order] * batch)
        assert results[-1].certificate, results[-1].refusal

    async def jwt(batch: int) -> None:
        results = await pool.sign_jwt(made[AuthorityKind.JWT].id, [token] * batch)
        assert results[-1].token, results[-1].refusal

    await load("x509", pool, x509, seconds)
    await load("jwt", pool, jwt, seconds)


async def issuer(
    pool: SignerPool, made: dict[AuthorityKind, AuthorityRef], seconds: float, database: Database
) -> None:
    """The issuer, with its durable record."""
    issuing = Issuer(
        lifetimes=Lifetimes(longest_x509=DAY, longest_jwt=DAY),
        clock=SystemClock(),
        signers=pool,
        authorities=Authorities(made),
        issued=IssuedStore(database),
        observer=Observer(logging.getLogger("finial.bench")),
    )
    order = X509Order(kind="workload", spiffe_id=WEB, csr=csr(), entry_id="e")
    token = JwtOrder(spiffe_id=WEB, audience=("db",))

    async def x509(batch: int) -> None:
        assert isinstance((await issuing.issue_x509([order] * batch))[-1], IssuedX509)

    async def jwt(batch: int) -> None:
        for _ in range(batch):
            assert isinstance(await issuing.issue_jwt(token), IssuedJwt)

    await load("issuer x509", pool, x509, seconds)
    await load("issuer jwt", pool, jwt, seconds)


async def main(seconds: float, processes: int, *, through_issuer: bool) -> None:
    """Start signers, make one authority of each kind, measure."""
    settings = SignerSettings(
        trust_domain=TrustDomain("example.org"),
        keys_path=None,
        processes=processes,
        max_x509_ttl=DAY,
        max_jwt_ttl=DAY,
        max_authority_ttl=DAY,
    )
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        pool = SignerPool(settings, clock=clock)
        begun = time.monotonic()
        await pool.start()
        sys.stdout.write(f"start of {processes} signers: {time.monotonic() - begun:.3f} s\n")
        stack.push_async_callback(pool.close)
        now = int(time.time())
        slots = {AuthorityKind.X509: "x509-CA-A", AuthorityKind.JWT: "JWT-Signer-A"}
        made = {
            kind: await pool.generate(kind, slot, KeyType.EC_P256, now - 10, now + DAY)
            for kind, slot in slots.items()
        }
        await raw(pool, made, seconds)
        if through_issuer:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            database = await Database.open(str(Path(folder, "bench.sqlite3")), clock)
            stack.push_async_callback(database.close)
            await issuer(pool, made, seconds, database)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--signers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--issuer", action="store_true")
    options = parser.parse_args()
    asyncio.run(main(options.seconds, options.signers, through_issuer=options.issuer))
