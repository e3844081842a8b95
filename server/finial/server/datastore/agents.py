"""The store of attested agents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from finial.attestors.selector import Selector
from finial.server.datastore import entry_write
from finial.server.datastore.listing import MemberTable, Page, SetColumn, page_of, paged
from finial.server.datastore.rows import agent_of, agent_row, entry_of, selectors_text
from finial.server.datastore.schema import agent_selectors, agents, entries
from finial.server.registry.errors import AgentBanned, NotFound
from finial.server.registry.model import AgentFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, Connection

    from finial.server.datastore.database import Database
    from finial.server.datastore.rows import Decode
    from finial.server.datastore.transaction import Transaction
    from finial.server.registry.model import Agent
    from finial.spiffe.spiffe_id import SpiffeId

KIND = "agent"

_SELECTORS = SetColumn(
    MemberTable(agent_selectors, ("type", "value"), "agent_row"),
    agents.c.row,
    agents.c.selector_count,
    "selectors",
)
_EVERYTHING = AgentFilter()
_JOIN_TOKEN = "join_token"  # noqa: S105  (the name of an attestor)

_ALL = select(*agents.c)
_ONE = _ALL.where(agents.c.agent_id == bindparam("agent_id"))
_COUNT = select(func.count()).select_from(agents)
_INSERT = insert(agents)
_UPDATE = (
    update(agents)
    .where(agents.c.row == bindparam("at_row"))
    .values({column.name: bindparam(column.name) for column in agents.c if column.name != "row"})
)
_ADD_SELECTORS = insert(agent_selectors)
_DROP_SELECTORS = delete(agent_selectors).where(
    agent_selectors.c.type == bindparam("of_type"),
    agent_selectors.c.value == bindparam("of_value"),
    agent_selectors.c.agent_row == bindparam("at_row"),
)


class AgentStore:
    """Agents by SPIFFE ID. Every method raises StoreError when the database refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def upsert_attested(self, agent: Agent) -> Agent:
        """Store an agent that has just attested, in place of its earlier record.

        `row` and `agent_version` of an earlier record are kept; a renewal under way is forgotten.

        Raises:
            AgentBanned: the stored record is banned.
        """

        def work(transaction: Transaction) -> Agent:
            stored = _find(transaction.connection, agent.id)
            if stored is None:
                row = transaction.change(KIND, agent.id.uri)
                new = replace(agent, row=row, new_serial_number="", new_expires_at=0)
                transaction.execute(_INSERT, agent_row(new))
                _add_selectors(transaction, new)
                return new
            if stored.banned:
                raise AgentBanned
            new = replace(
                agent,
                row=stored.row,
                agent_version=agent.agent_version or stored.agent_version,
                new_serial_number="",
                new_expires_at=0,
            )
            _drop_selectors(transaction, stored)
            _add_selectors(transaction, new)
            return _write(transaction, new)

        return await self._database.write(work)

    async def set_new_serial(
        self, agent_id: SpiffeId, current: str, serial: str, expires_at: int
    ) -> Agent:
        """Remember the serial of a renewal; it and the current one are both good until it is used.

        Raises:
            NotFound: there is no such agent, or its serial is not `current` any more: who renews
                with a certificate that was replaced, perhaps after an eviction, gets no other.
            AgentBanned: it is banned.
        """

        def renewed(stored: Agent) -> Agent:
            if stored.banned:
                raise AgentBanned
            if stored.serial_number != current:
                raise NotFound("agent")
            return replace(stored, new_serial_number=serial, new_expires_at=expires_at)

        return await self._change(agent_id, renewed)

    async def promote_new_serial(self, agent_id: SpiffeId, serial: str) -> Agent:
        """Make the renewal's serial the only one; nothing happens when `serial` is not that one.

        Raises:
            NotFound: there is no such agent.
        """

        def promoted(stored: Agent) -> Agent:
            if not serial or stored.new_serial_number != serial:
                return stored
            return replace(
                stored,
                serial_number=serial,
                expires_at=stored.new_expires_at,
                new_serial_number="",
                new_expires_at=0,
            )

        return await self._change(agent_id, promoted)

    async def ban(self, agent_id: SpiffeId) -> Agent:
        """Empty both serials, which no certificate can match; the record stays.

        Raises:
            NotFound: there is no such agent.
        """
        return await self._change(
            agent_id, lambda stored: replace(stored, serial_number="", new_serial_number="")
        )

    async def set_version(self, agent_id: SpiffeId, version: str) -> Agent:
        """Note the version that the agent says it has.

        Raises:
            NotFound: there is no such agent.
        """
        return await self._change(agent_id, lambda stored: replace(stored, agent_version=version))

    async def delete(self, agent_id: SpiffeId) -> Agent:
        """Forget an agent, and the alias entry that came with its join token.

        Raises:
            NotFound: there is no such agent.
        """

        def work(transaction: Transaction) -> Agent:
            stored = _get(transaction, agent_id)
            _drop_selectors(transaction, stored)
            transaction.execute(delete(agents).where(agents.c.row == stored.row))
            transaction.change(KIND, agent_id.uri)
            if stored.attestation_type == _JOIN_TOKEN:
                _drop_alias(transaction, agent_id)
            return stored

        return await self._database.write(work)

    async def get(self, agent_id: SpiffeId) -> Agent | None:
        """Return the agent of that ID."""
        return await self._database.read(lambda connection: _find(connection, agent_id))

    async def list(
        self, wanted: AgentFilter = _EVERYTHING, page_size: int = 0, page_token: str = ""
    ) -> Page[Agent]:
        """Return the matching agents in order of attestation, all of them if `page_size` < 1.

        Raises:
            InvalidPageToken: the token is not one of ours.
            EmptyFilter: the selector filter names nothing.
        """

        def work(connection: Connection) -> Page[Agent]:
            statement = _ALL.where(*_conditions(connection, wanted))
            rows = connection.execute(paged(statement, agents.c.row, page_size, page_token))
            items = [agent_of(row) for row in rows]
            return page_of(items, [agent.row for agent in items], page_size)

        return await self._database.read(work)

    async def count(self, wanted: AgentFilter = _EVERYTHING) -> int:
        """Return how many agents match.

        Raises:
            EmptyFilter: the selector filter names nothing.
        """

        def work(connection: Connection) -> int:
            return int(
                connection.execute(_COUNT.where(*_conditions(connection, wanted))).scalar_one()
            )

        return await self._database.read(work)

    async def _change(self, agent_id: SpiffeId, change: Callable[[Agent], Agent]) -> Agent:
        def work(transaction: Transaction) -> Agent:
            stored = _get(transaction, agent_id)
            changed = change(stored)
            return stored if changed == stored else _write(transaction, changed)

        return await self._database.write(work)


def find_all(connection: Connection, decode: Decode[Agent] = agent_of) -> list[Agent]:
    """Return every agent, oldest first, without those of which `decode` makes nothing."""
    rows = connection.execute(_ALL.order_by(agents.c.row))
    return [agent for row in rows if (agent := decode(row)) is not None]


def find_agents(connection: Connection, agent_ids: list[str]) -> list[Agent]:
    """Return the agents of these IDs; those that are not stored are absent."""
    rows = (connection.execute(_ONE, {"agent_id": agent_id}).first() for agent_id in agent_ids)
    return [agent_of(row) for row in rows if row is not None]


def alias_selector(agent_id: SpiffeId) -> Selector:
    """Return the one selector of the alias entry that a join token with an agent ID makes."""
    return Selector("spiffe_id", agent_id.uri)


def _find(connection: Connection, agent_id: SpiffeId) -> Agent | None:
    row = connection.execute(_ONE, {"agent_id": agent_id.uri}).first()
    return None if row is None else agent_of(row)


def _get(transaction: Transaction, agent_id: SpiffeId) -> Agent:
    stored = _find(transaction.connection, agent_id)
    if stored is None:
        raise NotFound("agent")
    return stored


def _write(transaction: Transaction, agent: Agent) -> Agent:
    transaction.execute(_UPDATE, {**agent_row(agent), "at_row": agent.row})
    transaction.change(KIND, agent.id.uri)
    return agent


def _drop_alias(transaction: Transaction, agent_id: SpiffeId) -> None:
    statement = select(*entries.c).where(
        entries.c.parent_id == agent_id.uri,
        entries.c.selectors == selectors_text([alias_selector(agent_id)]),
    )
    aliases = [entry_of(row) for row in transaction.execute(statement)]
    entry_write.remove(transaction, aliases)


def _members(agent: Agent, kind: str, value: str, row: str) -> list[dict[str, Any]]:
    return [
        {kind: selector.type, value: selector.value, row: agent.row}
        for selector in set(agent.selectors)
    ]


def _add_selectors(transaction: Transaction, agent: Agent) -> None:
    if agent.selectors:
        transaction.execute(_ADD_SELECTORS, _members(agent, "type", "value", "agent_row"))


def _drop_selectors(transaction: Transaction, agent: Agent) -> None:
    if agent.selectors:
        transaction.execute(_DROP_SELECTORS, _members(agent, "of_type", "of_value", "at_row"))


def _conditions(connection: Connection, wanted: AgentFilter) -> list[ColumnElement[bool]]:
    columns = agents.c
    found: list[ColumnElement[bool]] = []
    if wanted.attestation_type:
        found.append(columns.attestation_type == wanted.attestation_type)
    if wanted.banned is not None:
        found.append(columns.serial_number == "" if wanted.banned else columns.serial_number != "")
    if wanted.can_reattest is not None:
        found.append(columns.can_reattest == int(wanted.can_reattest))
    if wanted.expires_before is not None:
        found.append(columns.expires_at < wanted.expires_before)
    if wanted.selectors is not None:
        pairs = [(selector.type, selector.value) for selector in wanted.selectors]
        found.append(_SELECTORS.matches(connection, pairs, wanted.selectors_match))
    return found
