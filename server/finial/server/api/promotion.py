"""An agent's renewed serial number becomes its only one when it is used first."""

from contextlib import suppress

from finial.runtime.rpc import ServerContext
from finial.server.api.gate import Gate, Identity
from finial.server.api.settled import Settled
from finial.server.datastore.agents import AgentStore
from finial.server.registry.errors import NotFound


class Promotion:
    """What the guard around an agent's methods calls, before the handler."""

    def __init__(self, store: AgentStore, settled: Settled, gate: Gate) -> None:
        self._store = store
        self._settled = settled
        self._gate = gate

    async def __call__(self, context: ServerContext) -> None:
        """Makes the call's serial number durable as the agent's only one.

        Raises:
            StatusError: the agent was banned or evicted meanwhile.
        """
        identity = context.identity
        if isinstance(identity, Identity) and identity.agent is not None:
            with suppress(NotFound):
                await self._store.promote_new_serial(identity.agent.id, identity.promotes)
            await self._settled()
        self._gate.check_again(context)
