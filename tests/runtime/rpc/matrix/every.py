"""All scenarios: importing a module of them puts them on the list."""

from tests.runtime.rpc.matrix import calls, ends_of_calls, flows
from tests.runtime.rpc.matrix.scenario import SCENARIOS

__all__ = ["SCENARIOS", "calls", "ends_of_calls", "flows"]
