"""The tables. A change here needs a migration beside it; a test compares the two.

Flags are integers and sets are JSON text: plain types need no conversion a value, which is what
reading fifty thousand rows is made of. A set that is searched has a table of its own as well,
keyed by its member first; `*_count` tells a subset from an overlap without reading the set.
`row` of entries and agents is the feed revision that made them: unique, ascending, never reused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

if TYPE_CHECKING:
    from sqlalchemy.sql.type_api import TypeEngine

HEAD = "0003"
"""The newest migration, which is the schema below."""

KNOWN = frozenset({"0001", "0002", HEAD})
"""Every migration that this program can start from."""

metadata = MetaData()

# SQLite makes only INTEGER PRIMARY KEY the row's own address.
_KEY: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
_LONG = BigInteger()

version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

properties = Table(
    "properties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

entries = Table(
    "entries",
    metadata,
    Column("row", _KEY, primary_key=True, autoincrement=False),
    Column("entry_id", Text, nullable=False),
    Column("spiffe_id", Text, nullable=False),
    Column("parent_id", Text, nullable=False),
    Column("selectors", Text, nullable=False),
    Column("selector_count", Integer, nullable=False),
    Column("similarity", Text, nullable=False),
    Column("x509_svid_ttl", Integer, nullable=False),
    Column("jwt_svid_ttl", Integer, nullable=False),
    Column("federates_with", Text, nullable=False),
    Column("federates_count", Integer, nullable=False),
    Column("admin", Integer, nullable=False),
    Column("downstream", Integer, nullable=False),
    Column("expires_at", _LONG, nullable=False),
    Column("dns_names", Text, nullable=False),
    Column("revision_number", _LONG, nullable=False),
    Column("store_svid", Integer, nullable=False),
    Column("hint", Text, nullable=False),
    Column("created_at", _LONG, nullable=False),
    Column("disable_x509_svid_prefetch", Integer, nullable=False),
    Column("jwt_svid_include_jti", Integer, nullable=False),
)
Index("entries_entry_id", entries.c.entry_id, unique=True)
Index("entries_spiffe_id", entries.c.spiffe_id)
Index("entries_parent_id", entries.c.parent_id)
# Not unique: an update may make two entries alike, as with SPIRE.
Index("entries_similarity", entries.c.similarity)
Index(
    "entries_expires_at",
    entries.c.expires_at,
    sqlite_where=entries.c.expires_at > 0,
    postgresql_where=entries.c.expires_at > 0,
)
Index(
    "entries_downstream",
    entries.c.row,
    sqlite_where=entries.c.downstream == 1,
    postgresql_where=entries.c.downstream == 1,
)

entry_selectors = Table(
    "entry_selectors",
    metadata,
    Column("type", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("entry_row", _LONG, nullable=False),
    PrimaryKeyConstraint("type", "value", "entry_row"),
    sqlite_with_rowid=False,
)

bundles = Table(
    "bundles",
    metadata,
    Column("row", _KEY, primary_key=True, autoincrement=False),
    Column("trust_domain", Text, nullable=False, unique=True),
    Column("sequence", _LONG, nullable=False),
    Column("refresh_hint", _LONG, nullable=False),
    Column("authorities", Text, nullable=False),
)

entry_federates = Table(
    "entry_federates",
    metadata,
    Column("trust_domain", Text, ForeignKey("bundles.trust_domain"), nullable=False),
    Column("entry_row", _LONG, nullable=False),
    PrimaryKeyConstraint("trust_domain", "entry_row"),
    sqlite_with_rowid=False,
)

federation_relationships = Table(
    "federation_relationships",
    metadata,
    Column("row", _KEY, primary_key=True, autoincrement=False),
    Column("trust_domain", Text, nullable=False, unique=True),
    Column("bundle_endpoint_url", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("endpoint_spiffe_id", Text, nullable=False),
)
"""`endpoint_spiffe_id` is empty with https_web."""

agents = Table(
    "agents",
    metadata,
    Column("row", _KEY, primary_key=True, autoincrement=False),
    Column("agent_id", Text, nullable=False, unique=True),
    Column("attestation_type", Text, nullable=False),
    Column("serial_number", Text, nullable=False),
    Column("expires_at", _LONG, nullable=False),
    Column("new_serial_number", Text, nullable=False),
    Column("new_expires_at", _LONG, nullable=False),
    Column("selectors", Text, nullable=False),
    Column("selector_count", Integer, nullable=False),
    Column("can_reattest", Integer, nullable=False),
    Column("agent_version", Text, nullable=False),
)

agent_selectors = Table(
    "agent_selectors",
    metadata,
    Column("type", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("agent_row", _LONG, nullable=False),
    PrimaryKeyConstraint("type", "value", "agent_row"),
    sqlite_with_rowid=False,
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("token", Text, primary_key=True),
    Column("expires_at", _LONG, nullable=False),
)

issued_svids = Table(
    "issued_svids",
    metadata,
    Column("row", _KEY, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("serial_or_jti", Text, nullable=False),
    Column("spiffe_id", Text, nullable=False),
    Column("entry_id", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("expires_at", _LONG, nullable=False),
    Column("issued_at", _LONG, nullable=False),
)
Index("issued_svids_expires_at", issued_svids.c.expires_at)

change_feed = Table(
    "change_feed",
    metadata,
    Column("revision", _KEY, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("at", _LONG, nullable=False),
)

server_journals = Table(
    "server_journals",
    metadata,
    Column("server", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("server", "name"),
)
"""`server` is empty in what comes from a database that knew of one server only."""
