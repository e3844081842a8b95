"""Federation relationships: where the bundles of other trust domains are fetched."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "federation_relationships",
        sa.Column("row", _KEY, primary_key=True, autoincrement=False),
        sa.Column("trust_domain", sa.Text, nullable=False, unique=True),
        sa.Column("bundle_endpoint_url", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("endpoint_spiffe_id", sa.Text, nullable=False),
    )
