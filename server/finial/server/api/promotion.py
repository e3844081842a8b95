"""What has to be done of an agent's call before its handler runs, and can't be done at once.

A call in doubt is decided on, once memory agrees with the database that other servers write to. A
renewed serial number becomes the agent's only one when it is used first.
"""

from contextlib import suppress

from finial.runtime.rpc import ServerContext
from finial.server.api.gate import Gate, Identity
from finial.server.api.settled import Settled
from finial.server.datastore.agents import AgentStore
from finial.server.registry.errors import NotFound


class Promotion:
    """What the guard around an agent's methods calls, before the handler."""

    def __init__(
        self, store: AgentStore, settled: Settled, gate: Gate, agreed: Settled | None = None
    ) -> None:
        self._store = store
        self._settled = settled
        self._gate = gate
        self._agreed = agreed

    async def __call__(self, context: ServerContext) -> None:
        """Decides on a call in doubt; makes the serial number durable as the agent's only one.

        Raises:
            StatusError: the agent has no right, or was banned or evicted meanwhile.
            StoreError: the database can't tell, or can't take it.
        """
        identity = context.identity
        if isinstance(identity, Identity) and identity.doubted and self._agreed is not None:
            await self._agreed()
            self._gate.settle(context)
            identity = context.identity
            if isinstance(identity, Identity) and not identity.promotes:
                return
        if isinstance(identity, Identity) and identity.agent is not None:
            with suppress(NotFound):
                await self._store.promote_new_serial(identity.agent.id, identity.promotes)
            await self._settled()
        self._gate.check_again(context)
