"""The schema's history, one Alembic revision a file in `versions`; imported only to migrate.

A revision never imports `schema`: it describes the step as it was when it was written. New code
must run on the schema before its own only long enough to migrate it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    from sqlalchemy import Connection


def scripts() -> ScriptDirectory:
    """Return the revisions that this program ships."""
    return ScriptDirectory(Path(__file__).parent)


def migrate(connection: Connection, target: str = "head") -> None:
    """Bring the connection's database to a revision, inside the caller's transaction."""
    directory = scripts()
    if not connection.in_transaction():
        # Tells Alembic that the commit is not its own to make.
        connection.begin()

    def steps(current: Any, _: Any) -> Any:
        return directory._upgrade_revs(target, current)  # noqa: SLF001  (as Alembic's own command)

    with EnvironmentContext(Config(), directory, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=False)
        environment.run_migrations()
