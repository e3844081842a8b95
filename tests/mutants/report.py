"""What the run says: totals by file, survivors with and without a reason, and the share."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.mutants.child import Outcome
from tests.mutants.survivors import Change, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


@dataclass
class Report:
    """The outcomes of all mutants.

    Attributes:
        by_path: how many had which outcome, by file.
        survivors: what survived, once for each mutant.
        reasons: the list of survivors.
    """

    reasons: Mapping[Change, str]
    by_path: dict[str, Counter[Outcome]] = field(default_factory=lambda: defaultdict(Counter))
    survivors: list[Change] = field(default_factory=list)

    def add(self, results: Iterable[dict[str, Any]]) -> None:
        for result in results:
            outcome = Outcome[result["outcome"]]
            self.by_path[result["path"]][outcome] += 1
            if outcome is Outcome.SURVIVED:
                was, becomes = result["change"]
                self.survivors.append(Change(result["path"], result["within"], was, becomes))

    @property
    def total(self) -> int:
        return sum(outcomes.total() for outcomes in self.by_path.values())

    @property
    def share(self) -> float:
        """Of the mutants made, those that were killed; 0 when none was made."""
        return 1 - len(self.survivors) / self.total if self.total else 0.0

    @property
    def unlisted(self) -> list[Change]:
        return [change for change in self.survivors if change not in self.reasons]

    @property
    def outdated(self) -> list[Change]:
        """Entries of judged files that no survivor needs: killed by now, or of a line that went."""
        survived = set(self.survivors)
        return [c for c in self.reasons if c.path in self.by_path and c not in survived]

    def text(self) -> str:
        """The whole, for a terminal."""
        lines = [_row(path, outcomes) for path, outcomes in sorted(self.by_path.items())]
        lines.append(_row("all", sum(self.by_path.values(), Counter())))
        killed = self.total - len(self.survivors)
        lines.append(f"killed {killed} / {self.total} ({self.share:.2%})")
        listed = len(self.survivors) - len(self.unlisted)
        lines.append(f"survivors: {listed} with a reason, {len(self.unlisted)} without")
        lines.extend(
            f"no longer needed in survivors.toml: {change.path}: {change.was} -> {change.becomes}"
            for change in self.outdated
        )
        if self.unlisted:
            lines.append("kill these, or give a reason in survivors.toml:\n")
            lines.append(write(self.unlisted))
        return "\n".join(lines)


def _row(name: str, outcomes: Counter[Outcome]) -> str:
    parts = [f"{outcomes[o]} {o.value}" for o in Outcome if outcomes[o]]
    return f"{name}: {outcomes.total()} mutants: {', '.join(parts)}"
