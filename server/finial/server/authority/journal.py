"""The journal of one kind of authority: what must survive a restart, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from finial.server.authority.rotator import Authority, State

FORMAT = 1


class JournalError(Exception):
    """The journal is damaged, or from a newer program; says which and what to do."""


def encode(state: State) -> bytes:
    """Write a state down."""
    document = {
        "finial": FORMAT,
        "active": None if state.active is None else asdict(state.active),
        "prepared": None if state.prepared is None else asdict(state.prepared),
        "old": [asdict(each) for each in state.old],
    }
    return json.dumps(document).encode()


def decode(data: bytes) -> State:
    """Read a state.

    Raises:
        JournalError: the content is not what `encode` writes.
    """
    try:
        document = json.loads(data)
        version = document["finial"]
    except (ValueError, KeyError, TypeError):
        raise _damaged() from None
    if version != FORMAT:
        raise JournalError(
            f"the authority journal has format {version!r} and this program reads {FORMAT}: "
            "start the program that wrote it"
        )
    try:
        return State(
            active=_authority(document["active"]),
            prepared=_authority(document["prepared"]),
            old=tuple(_read(each) for each in document["old"]),
        )
    except (KeyError, TypeError):
        raise _damaged() from None


def _authority(members: dict[str, Any] | None) -> Authority | None:
    return None if members is None else _read(members)


def _read(members: dict[str, Any]) -> Authority:
    authority = Authority(**members)
    for member in fields(Authority):
        if type(getattr(authority, member.name)).__name__ != member.type:
            raise TypeError(member.name)
    return authority


def _damaged() -> JournalError:
    return JournalError("the authority journal is damaged: restore the database from a backup")
