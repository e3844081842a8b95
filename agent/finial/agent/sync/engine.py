"""The agent's conversation with its server: the order of its beginning, and the tasks of its life.

First the identity, because every call needs it; then one sync, so that the entries are there;
then everything side by side until the agent ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.agent.sync.expiry import ExpiryWatch
from finial.agent.sync.poller import DEFAULT_INTERVAL, Poller
from finial.agent.sync.svids import SvidIssuer
from finial.agent.sync.tokens import TokenIssuer
from finial.agent.sync.wits import WitIssuer
from finial.runtime.tasks import run_tasks

if TYPE_CHECKING:
    import random

    from finial.agent.cache.tokens import TokenShelf
    from finial.agent.cache.workloads import Workloads
    from finial.agent.keys import KeyType
    from finial.agent.sync.identity import AgentIdentity
    from finial.agent.sync.readiness import Readiness
    from finial.agent.sync.server import ServerClient
    from finial.agent.sync.trust import Trust
    from finial.runtime.clock import Clock


class SyncEngine:
    """Builds the parts that talk to the server, and runs them."""

    def __init__(
        self,
        *,
        workloads: Workloads,
        shelf: TokenShelf,
        client: ServerClient,
        identity: AgentIdentity,
        trust: Trust,
        readiness: Readiness,
        clock: Clock,
        rng: random.Random,
        key_type: KeyType,
        interval: float = DEFAULT_INTERVAL,
        version: str = "",
    ) -> None:
        self._client = client
        self.identity = identity
        self.trust = trust
        self.shelf = shelf
        self.expiry = ExpiryWatch(workloads, clock)
        self.svids = SvidIssuer(
            workloads=workloads,
            client=client,
            identity=identity,
            clock=clock,
            rng=rng,
            key_type=key_type,
            stored=self.expiry.alarm.ring,
        )
        self.wits: WitIssuer | None = None
        if workloads.wits is not None:
            self.wits = WitIssuer(
                workloads=workloads,
                wits=workloads.wits,
                client=client,
                identity=identity,
                clock=clock,
                rng=rng,
                key_type=key_type,
                stored=self.expiry.alarm.ring,
            )
        self.tokens = TokenIssuer(shelf=shelf, client=client, identity=identity, clock=clock)
        self.poller = Poller(
            workloads=workloads,
            tokens=shelf,
            client=client,
            identity=identity,
            trust=trust,
            readiness=readiness,
            clock=clock,
            rng=rng,
            changed=self.svids.alarm.ring,
            interval=interval,
            version=version,
        )
        workloads.on_work = self.svids.alarm.ring

    async def run(self) -> None:
        """Run until cancelled. Raises AgentError when the agent cannot go on."""
        try:
            await self.identity.establish()
            await run_tasks(
                identity=self.identity.run(),
                poller=self.poller.run(),
                svids=self.svids.run(),
                tokens=self.tokens.run(),
                expiry=self.expiry.run(),
                **({} if self.wits is None else {"wits": self.wits.run()}),
            )
        finally:
            await self._client.close()
