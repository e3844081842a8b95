"""Turn the load harness's lines into one table: ours, SPIRE's, and the ratio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One measure of one experiment; `peer` values are None where SPIRE was not measured."""

    name: str
    unit: str
    ours: float
    peer: float | None
    lower_is_better: bool
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.peer else None

    @property
    def won(self) -> bool | None:
        if self.ratio is None:
            return None
        return self.ratio <= 1 if self.lower_is_better else self.ratio >= 1


@dataclass
class Results:
    """The newest line of each measure, by name, of one target."""

    lines: dict[str, Line] = field(default_factory=dict)

    def add(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.lines[str(line["name"])] = line


def cpu_ms(line: Line) -> float | None:
    """CPU milliseconds a call or item in server and agent together, where the harness has them."""
    parts = [line.get(f"cpu_ms_per_item_{side}") for side in ("server", "agent")]
    known = [float(part) for part in parts if part is not None]
    return sum(known) if known else None


def rows_of(ours: Results, peer: Results) -> list[Row]:
    """Compare measure by measure; CPU a call comes before rates, rates before latencies."""
    cpu: list[Row] = []
    rates: list[Row] = []
    others: list[Row] = []
    for name, line in ours.lines.items():
        other = peer.lines.get(name, {})
        note = f"{line['errors']} errors" if line.get("errors") else ""
        if (ours_cpu := cpu_ms(line)) is not None:
            peer_cpu = cpu_ms(other) if other else None
            cpu.append(Row(name, "CPU ms/item", ours_cpu, peer_cpu, lower_is_better=True))
        is_rate = str(line["unit"]).endswith("/s")
        peer_value = float(other["value"]) if "value" in other else None
        row = Row(
            name,
            str(line["unit"]),
            float(line["value"]),
            peer_value,
            lower_is_better=not is_rate,
            note=note,
        )
        (rates if is_rate else others).append(row)
        if is_rate and "p50" in line:
            peer_p50 = float(other["p50"]) if "p50" in other else None
            others.append(
                Row(f"{name} p50", "ms", float(line["p50"]), peer_p50, lower_is_better=True)
            )
        if "kib_per_stream" in line:
            peer_kib = other.get("kib_per_stream")
            others.append(
                Row(
                    f"{name}.per_stream.n{line['n']}",
                    "KiB",
                    float(line["kib_per_stream"]),
                    float(peer_kib) if peer_kib is not None else None,
                    lower_is_better=True,
                )
            )
    return cpu + rates + others


def render(rows: Sequence[Row], peer_name: str) -> str:
    """Markdown; a row that we lose says so."""
    out = [f"| measure | unit | Finial | {peer_name} | ratio | |", "|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        peer = "-" if row.peer is None else f"{row.peer:,.4g}"
        verdict = {True: "", False: "lost", None: "not compared"}[row.won]
        remark = "; ".join(part for part in (verdict, row.note) if part)
        out.append(f"| {row.name} | {row.unit} | {row.ours:,.4g} | {peer} | {ratio} | {remark} |")
    return "\n".join(out)
