"""What the agent keeps across restarts, in the very files and shapes SPIRE's agent keeps it.

`agent-data.json`: the agent's SVID and the trust bundle. `keys.json`: its keys, two slots in turn.
So an agent of either make continues where the other stopped. Members that we do not use are kept
as they are. Both files are mode 0600 and replaced durably.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from finial.agent import keys
from finial.agent.errors import StorageError
from finial.runtime import durable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

DATA_FILE = "agent-data.json"
KEYS_FILE = "keys.json"
SLOTS = ("agent-svid-A", "agent-svid-B")

_EMPTY_DATA: dict[str, Any] = {
    "svid": None,
    "bundle": None,
    "reattestable": False,
    "bootstrap_use": 0,
    "bootstrap_start_time": "0001-01-01T00:00:00Z",
    "connection_attempts": 0,
}


@dataclass(frozen=True, slots=True)
class StoredSvid:
    """The agent's SVID as stored: DER chain, leaf first, without its key."""

    chain: tuple[bytes, ...]
    reattestable: bool


class AgentData:
    """`agent-data.json` in the data folder. Loading raises StorageError for a damaged file.

    SVID and bundle share the file and come from different tasks: one write at a time, or the later
    would put back what the earlier has replaced.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / DATA_FILE
        self._writing = threading.Lock()
        self._members = dict(_EMPTY_DATA) | (_read(self._path) or {})
        way_out = (
            f"move {self._path} away and attest the agent anew (a join-token agent needs a new "
            "token), or restore the file from a backup"
        )
        self._bundle = _certificates(self._members["bundle"], self._path, "bundle", way_out)
        chain = _certificates(self._members["svid"], self._path, "svid", way_out)
        self._svid = StoredSvid(chain, self._members["reattestable"] is True) if chain else None

    @property
    def bundle(self) -> tuple[bytes, ...]:
        """The DER certificates of the trust bundle last received; empty when there is none."""
        return self._bundle

    @property
    def svid(self) -> StoredSvid | None:
        return self._svid

    def store_bundle(self, certificates: Sequence[bytes]) -> None:
        """Replace the bundle, durably. Blocks. Raises StorageError."""
        self._write(bundle=_encoded(certificates))
        self._bundle = tuple(certificates)

    def store_svid(self, svid: StoredSvid) -> None:
        """Replace the SVID, durably. Blocks. Raises StorageError."""
        self._write(svid=_encoded(svid.chain), reattestable=svid.reattestable)
        self._svid = svid

    def delete_svid(self) -> None:
        """Forget the SVID, durably. Blocks. Raises StorageError."""
        self._write(svid=None, reattestable=False)
        self._svid = None

    def _write(self, **members: object) -> None:
        with self._writing:
            updated = self._members | members
            _write(self._path, json.dumps(updated, separators=(",", ":")).encode())
            self._members = updated


class KeyStore(Protocol):
    """The agent's keys: PKCS#8 DER by slot name."""

    def find(self, public_der: bytes) -> bytes | None:
        """Return the private key that belongs to a SubjectPublicKeyInfo, if it is kept."""

    def use(self, key: bytes) -> None:
        """Note that a kept key is the one in use now."""

    def store_next(self, key: bytes) -> None:
        """Keep a new key in the slot that the key in use does not have. Raises StorageError."""


class _Slots:
    """Two slots in turn.

    A new key never takes the place of the one in use, however often it is tried: only `use` moves.
    """

    def __init__(self, kept: dict[str, bytes], save: Callable[[dict[str, bytes]], None]) -> None:
        self._kept = kept
        self._save = save
        self._in_use = SLOTS[1]

    def find(self, public_der: bytes) -> bytes | None:
        for slot in SLOTS:
            key = self._kept.get(slot)
            if key is not None and keys.public_der(keys.load_pkcs8(key)) == public_der:
                return key
        return None

    def use(self, key: bytes) -> None:
        self._in_use = next(slot for slot in SLOTS if self._kept.get(slot) == key)

    def store_next(self, key: bytes) -> None:
        kept = {**self._kept, SLOTS[1 - SLOTS.index(self._in_use)]: key}
        self._save(kept)
        self._kept = kept


class MemoryKeys(_Slots):
    """Key manager `memory`: the keys die with the process, and the SVID is of no use after."""

    def __init__(self) -> None:
        super().__init__({}, lambda _kept: None)


class DiskKeys(_Slots):
    """Key manager `disk`: `keys.json` in its folder. Loading raises StorageError if damaged."""

    def __init__(self, folder: Path) -> None:
        try:
            durable.make_folder(folder)
        except durable.DurableError as error:
            raise StorageError(str(error)) from None
        self._path = folder / KEYS_FILE
        super().__init__(self._load(), self._write_keys)

    def _load(self) -> dict[str, bytes]:
        way_out = f"restore {self._path} from a backup, or move it away and attest the agent anew"
        members = (_read(self._path) or {}).get("keys") or {}
        if not isinstance(members, dict):
            raise _damaged(self._path, "keys", way_out)
        kept: dict[str, bytes] = {}
        for slot, encoded in members.items():
            try:
                kept[slot] = base64.b64decode(encoded, validate=True)
                keys.load_pkcs8(kept[slot])
            except (TypeError, ValueError):
                raise _damaged(self._path, f"keys.{slot}", way_out) from None
        return kept

    def _write_keys(self, kept: dict[str, bytes]) -> None:
        encoded = {slot: base64.b64encode(key).decode() for slot, key in sorted(kept.items())}
        _write(self._path, json.dumps({"keys": encoded}, indent="\t").encode())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return durable.read_json(path)
    except durable.DurableError as error:
        raise StorageError(str(error)) from None


def _write(path: Path, data: bytes) -> None:
    try:
        durable.write_file(path, data)
    except durable.DurableError as error:
        raise StorageError(str(error)) from None


def _encoded(certificates: Sequence[bytes]) -> list[str]:
    """Each certificate as base64 of a PEM block: what Go makes of PEM bytes in JSON."""
    return [
        base64.b64encode(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)).decode()
        for der in certificates
    ]


def _certificates(value: object, path: Path, member: str, way_out: str) -> tuple[bytes, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _damaged(path, member, way_out)
    try:
        blocks = [base64.b64decode(encoded, validate=True) for encoded in value]
        return tuple(
            x509.load_pem_x509_certificate(block).public_bytes(Encoding.DER) for block in blocks
        )
    except (TypeError, ValueError, binascii.Error):
        raise _damaged(path, member, way_out) from None


def _damaged(path: Path, member: str, way_out: str) -> StorageError:
    return StorageError(f"{path} is damaged: member {member!r} is not as it was written; {way_out}")
