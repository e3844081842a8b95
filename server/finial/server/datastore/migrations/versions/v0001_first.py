"""The first schema: entries, agents, tokens, bundles, issued SVIDs, change feed, journals."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _entries()
    _agents()
    _issuing()
    op.create_table(
        "properties",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "change_feed",
        sa.Column("revision", _KEY, primary_key=True, autoincrement=False),
        _text("kind"),
        _text("key"),
        _long("at"),
    )


def _entries() -> None:
    op.create_table(
        "entries",
        sa.Column("row", _KEY, primary_key=True, autoincrement=False),
        _text("entry_id"),
        _text("spiffe_id"),
        _text("parent_id"),
        _text("selectors"),
        _number("selector_count"),
        _text("similarity"),
        _number("x509_svid_ttl"),
        _number("jwt_svid_ttl"),
        _text("federates_with"),
        _number("federates_count"),
        _number("admin"),
        _number("downstream"),
        _long("expires_at"),
        _text("dns_names"),
        _long("revision_number"),
        _number("store_svid"),
        _text("hint"),
        _long("created_at"),
        _number("disable_x509_svid_prefetch"),
        _number("jwt_svid_include_jti"),
    )
    op.create_index("entries_entry_id", "entries", ["entry_id"], unique=True)
    for column in ("spiffe_id", "parent_id", "similarity"):
        op.create_index(f"entries_{column}", "entries", [column])
    _partial_index("entries_expires_at", "expires_at", sa.text("expires_at > 0"))
    _partial_index("entries_downstream", "row", sa.text("downstream = 1"))
    _members("entry_selectors", _text("type"), _text("value"), owner="entry_row")
    op.create_table(
        "bundles",
        sa.Column("row", _KEY, primary_key=True, autoincrement=False),
        sa.Column("trust_domain", sa.Text, nullable=False, unique=True),
        _long("sequence"),
        _long("refresh_hint"),
        _text("authorities"),
    )
    domain = sa.Column(
        "trust_domain", sa.Text, sa.ForeignKey("bundles.trust_domain"), nullable=False
    )
    _members("entry_federates", domain, owner="entry_row")


def _agents() -> None:
    op.create_table(
        "agents",
        sa.Column("row", _KEY, primary_key=True, autoincrement=False),
        sa.Column("agent_id", sa.Text, nullable=False, unique=True),
        _text("attestation_type"),
        _text("serial_number"),
        _long("expires_at"),
        _text("new_serial_number"),
        _long("new_expires_at"),
        _text("selectors"),
        _number("selector_count"),
        _number("can_reattest"),
        _text("agent_version"),
    )
    _members("agent_selectors", _text("type"), _text("value"), owner="agent_row")
    op.create_table(
        "join_tokens", sa.Column("token", sa.Text, primary_key=True), _long("expires_at")
    )


def _issuing() -> None:
    op.create_table(
        "issued_svids",
        sa.Column("row", _KEY, primary_key=True),
        _text("kind"),
        _text("serial_or_jti"),
        _text("spiffe_id"),
        _text("entry_id"),
        _text("agent_id"),
        _long("expires_at"),
        _long("issued_at"),
    )
    op.create_index("issued_svids_expires_at", "issued_svids", ["expires_at"])
    op.create_table(
        "journals",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def _members(table: str, *member: "sa.Column[str]", owner: str) -> None:
    """Make a table of the members of sets, keyed by the member first."""
    op.create_table(
        table,
        *member,
        _long(owner),
        sa.PrimaryKeyConstraint(*(column.name for column in member), owner),
        sqlite_with_rowid=False,
    )


def _partial_index(name: str, column: str, where: sa.TextClause) -> None:
    op.create_index(name, "entries", [column], sqlite_where=where, postgresql_where=where)


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.Integer, nullable=False)


def _long(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False)
