"""The script in commands.txt, as steps."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from tests.fakes.ca import FakeCa

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).with_name("commands.txt")
OWN = {
    "words": "a complaint about a value is told in words of our own",
    "config": "a configuration file's mistakes are told with line, key and way out",
    "sql": "SPIRE shows what its database complains of",
    "dns": "SPIRE answers a creation with sorted names, and a list with them as they were given",
    "capped": "SPIRE warns of a lifetime cut short when only a fraction of a second was cut",
    "revision": "an entry that loses a domain it federated with is changed, or no agent would hear",
    "order": "the order of the members of a JSON object means nothing",
}
"""Why the words of a step may differ from SPIRE's."""
SHORT = {
    "{td}": "spiffe://example.org",
    "{web}": "spiffe://example.org/web",
    "{below}": "-parentID {agent}",
    "{uid}": "-selector unix:uid:0",
    "{away}": "https://127.0.0.1:1/",
}
FORMS = {"": (False,), "*": (False, True), ".json": (True,)}
LONG = {"{x256}": "x" * 256, "{x1025}": "x" * 1025}
DATA = """{"entries": [
  {"spiffe_id": "spiffe://example.org/filed", "parent_id": "spiffe://example.org/node",
   "selectors": [{"type": "unix", "value": "uid:7"}], "x509_svid_ttl": 60, "hint": "filed",
   "entryExpiry": 4000000000, "dns_names": ["filed.example.org"], "unknown": 1},
  {"spiffe_id": "spiffe://example.org/filed", "parent_id": "spiffe://example.org/node"}
]}"""
ROOT = FakeCa("e.org", key_id="k")
PEM = ROOT.cert.public_bytes(Encoding.PEM).decode()
JWKS = ROOT.bundle(sequence=7).to_jwks().decode()
RELATIONSHIPS = json.dumps(
    {
        "federationRelationships": [
            {
                "trustDomain": "e.org",
                "bundleEndpointURL": "https://127.0.0.1:1/",
                "bundleEndpointProfile": "https_spiffe",
                "endpointSPIFFEID": "spiffe://e.org/endpoint",
                "trustDomainBundle": PEM,
                "trustDomainBundleFormat": "pem",
            }
        ]
    }
)
INPUTS = {"data": DATA, "pem": PEM, "jwks": JWKS, "relationships": RELATIONSHIPS}
ONLY_SPIRE = "   # SPIRE's program only"


@dataclass(frozen=True)
class Step:
    """One invocation."""

    name: str
    program: str
    """`server` or `agent`."""
    words: tuple[str, ...]
    stdin: str
    keep: tuple[str, str] | None
    """A name, and the way to the value that later steps know by it: `results.0.entry.id`."""
    own: str
    """Why the words are our own, or empty: then all is compared."""
    only_spire: bool = False
    """Our program has no such command, although our server serves what it asks for."""


def scenes() -> dict[str, list[Step]]:
    """The steps by the headings that they stand under."""
    found: dict[str, list[Step]] = {}
    only_spire = False
    for number, line in enumerate(SCRIPT.read_text().splitlines(), 1):
        if line.startswith("== "):
            only_spire = line.endswith(ONLY_SPIRE)
            name = line.removeprefix("== ").removesuffix(ONLY_SPIRE)
            steps = found[name] = []
        elif line and not line.startswith("#"):
            steps += _steps(number, line, only_spire=only_spire)
    return found


def _steps(number: int, line: str, *, only_spire: bool) -> Iterator[Step]:
    line, _, reason = line.partition("   # own: ")
    for short, meaning in SHORT.items():
        line = line.replace(short, meaning)
    line, _, keep = line.partition(" > ")
    line, _, stdin = line.partition(" < ")
    (form, *words) = shlex.split(line)
    (given,) = shlex.split(stdin) or [""]
    name, _, way = keep.partition(" ")
    program = "agent" if form.startswith("agent") else "server"
    for as_json in FORMS[form.removeprefix(program)]:
        more = ("-output", "json") if as_json else ()
        yield Step(
            name=f"{number}: {' '.join((program, *words, *more))}",
            program=program,
            words=(*(LONG.get(word, word) for word in words), *more),
            stdin=INPUTS.get(given, given),
            keep=(name, way) if keep else None,
            own=OWN[reason] if reason else "",
            only_spire=only_spire,
        )
