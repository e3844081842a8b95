"""The agent runs on every node: what it loads is counted."""

import json
import subprocess
import sys

HEAVY = (
    "sqlalchemy",
    "alembic",
    "aiosqlite",
    "kubernetes",
    "rich",
    "click",
    "opentelemetry",
    "finial.server",
    "finial.attestors.node.join_token.server",
)

PROGRAM = """
import json, sys
import finial.agent.app
from finial.attestors.node import catalog
catalog.load(catalog.AGENT_GROUP, "join_token")
catalog.load(catalog.WORKLOAD_GROUP, "unix")
print(json.dumps(sorted(sys.modules)))
"""


def test_the_agent_process_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert "finial.agent.sync.engine" in loaded
    assert [name for name in HEAVY if name in loaded] == []
