"""Several servers on one database: each has journals of its own.

Whose the journals so far are is not known here: they get an empty server, and the next server that
starts adopts them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "server_journals",
        sa.Column("server", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("server", "name"),
    )
    op.execute(
        "INSERT INTO server_journals (server, name, data) SELECT '', name, data FROM journals"
    )
    op.drop_table("journals")
