"""Commands run in this process, with streams of their own."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finial.runtime.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finial.runtime.cli.program import Program


@dataclass(frozen=True)
class Outcome:
    """What an invocation left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one line of JSON."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)


def invoke(
    program: Program, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
) -> Outcome:
    """Run the program with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    code = program.main(arguments, Console(io.StringIO(stdin), out, err, env or {}))
    return Outcome(code, out.getvalue(), err.getvalue())
