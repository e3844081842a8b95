"""A family's command lines, put through the script on a site, and what is compared of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.interop import script
from tests.interop.programs import FINIAL

if TYPE_CHECKING:
    from tests.interop.programs import Family, Outcome
    from tests.interop.script import Step
    from tests.interop.site import Site

# What differs between two sites of the same family, and the word that stands for it. In this order.
VARYING = (
    (r"-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----", r"<PEM \1>"),
    (r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+", "<JWT>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<UUID>"),
    (r"[\w+/=-]{60,}", "<BYTES>"),
    (r"(?<![\w+/=-])[\w-]{43}(?![\w+/=-])", "<COORDINATE>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC", "<TIME>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "<RFC 3339>"),
    (r"\b1[7-9]\d{8}\b", "<UNIX TIME>"),
    (r"\b[0-9A-F]{32,48}\b|\b\d{34,48}\b", "<SERIAL>"),
    (r"\b[0-9a-f]{40}\b", "<KEY ID>"),
    (r"\b[A-Za-z0-9]{32}\b", "<KEY ID>"),
    (r"SERIALNUMBER=\d+|2\.5\.4\.45=#\w+", "<SERIAL>"),
    (r"after [0-9.]+(ms|µs|s)", "after <WHILE>"),
    (r"(Serial number *: )\d+", r"\1<SERIAL>"),
    (r"(Uptime: *)\d+s", r"\1<WHILE>"),
    (r"finial-[\w.+]+|1\.15\.\d[\w.-]*", "<VERSION>"),
)
SERVED_BEFORE = {"show": 2, "served": 1}
"""How many X.509-SVIDs a workload has when a scene begins."""
USAGE = (r"(^|\n)Usage(?s:.*)", r"\1<USAGE>")
"""The help texts are our own, and richer."""
EMPTY_LINES = (r"\n{2,}", "\n")
COUNTED = frozenset({"uptime", "sequence_number", "spiffe_sequence"})
"""Members whose values depend on how the site came about."""


@dataclass(frozen=True)
class Shown:
    """One step's outcome with the words for what varies in it."""

    step: Step
    code: int
    out: Any
    err: str

    @property
    def is_ours(self) -> bool:
        """Whether our program has the command."""
        return not self.step.only_spire

    def compared(self) -> tuple[int, Any, str]:
        """What is to be the same."""
        if self.step.own:
            return self.code, _shape(self.out), ""
        return self.code, self.out, self.err


async def record(site: Site, family: Family) -> dict[str, Shown]:
    """Run the whole script with `family`'s command lines; returns what each step showed."""
    known = {"agent": site.agent_id, "folder": str(site.folder)}
    shown: dict[str, Shown] = {}
    for scene, steps in script.scenes().items():
        # The agent must have heard of what the scenes before have made.
        if scene in SERVED_BEFORE:
            await site.svids_of(SERVED_BEFORE[scene])
        for step in steps:
            if step.only_spire and family is FINIAL:
                continue
            shown[step.name] = await _play(site, family, step, known)
    return shown


async def _play(site: Site, family: Family, step: Step, known: dict[str, str]) -> Shown:
    words = [re.sub(r"^\{(\w+)\}", lambda match: known[match[1]], word) for word in step.words]
    ask = site.workload if step.program == "agent" else site.command
    outcome = await ask(family, *words, stdin=step.stdin)
    if step.keep is not None:
        name, way = step.keep
        known[name] = _at(json.loads(outcome.out), way)
    return _masked(step, outcome, str(site.folder))


def _at(answer: Any, way: str) -> str:
    for key in way.split("."):
        answer = answer[int(key)] if key.isdigit() else answer[key]
    return str(answer)


def _masked(step: Step, outcome: Outcome, folder: str) -> Shown:
    out, err = (mask(text.replace(folder, "<FOLDER>")) for text in (outcome.out, outcome.err))
    try:
        return Shown(step, outcome.code, _without_values(json.loads(outcome.out)), err)
    except ValueError:
        return Shown(step, outcome.code, out, err)


def _without_values(read: Any) -> Any:
    if isinstance(read, dict):
        return {key: 0 if key in COUNTED else _without_values(read[key]) for key in read}
    if isinstance(read, list):
        return [_without_values(value) for value in read]
    if isinstance(read, str):
        return mask(read)
    return "<UNIX TIME>" if isinstance(read, int) and read > 1_700_000_000 else read


def mask(text: str) -> str:
    """The text with words in place of what differs between two sites."""
    for pattern, word in (*VARYING, USAGE, EMPTY_LINES):
        text = re.sub(pattern, word, text)
    return text.strip()


def _shape(out: Any) -> Any:
    if isinstance(out, dict):
        return {key: _shape(value) for key, value in out.items()}
    if isinstance(out, list):
        return [_shape(value) for value in out]
    return type(out).__name__ if out else out
