"""`make rows`: every row of the checklist with its tests, its removals and what they showed."""

from __future__ import annotations

import sys
import time

from tests.conformance.coverage import Prover, Total
from tests.conformance.rows import NOT_OURS, ROWS, UNCOVERED, Row


def main() -> int:
    """Print the table; exit status 1 when a row is uncovered that is not listed as such."""
    started = time.monotonic()
    with Prover() as prover:
        prover.expect(row for row in ROWS if row not in NOT_OURS)
        for row in ROWS.values():
            print(_line(row, prover), flush=True)
        total = Total.of(prover)
    print("\n".join(total.lines()))
    print(f"{time.monotonic() - started:.0f} s")
    return int(bool(set(total.missing) ^ set(UNCOVERED)))


def _line(row: Row, prover: Prover) -> str:
    head = f"{row.id:<8} {row.level:<2} {' '.join(row.who):<20} {row.title:<56}"
    if row.id in NOT_OURS:
        return f"{head} not ours: {NOT_OURS[row.id]}"
    proof = prover.prove(row.id)
    if proof.complaint:
        return f"{head} UNCOVERED: {UNCOVERED.get(row.id) or proof.complaint}"
    tests, runs = len(proof.tests), len(proof.runs)
    return f"{head} covered: {tests} tests, {runs} removals, {proof.seconds:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
