"""Where the authorities' keys rest between two lives of the signers: nowhere, or in a file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from finial.api.finial import signer_pb2
from finial.runtime import durable
from finial.server.signer.authority_key import AuthorityKey, restore
from finial.server.signer.refusal import Code, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence


FORMAT = 1
"""The member "finial" of a keys file; a program reads its own format and no other."""

_OTHERS = 0o077


class KeyManager(Protocol):
    """Where keys rest. Called in one signer only, the one that makes keys."""

    def load(self) -> list[AuthorityKey]:
        """All that was stored. Raises Refused (KEY_MANAGER) when it can't be read."""
        ...

    def store(self, authorities: Sequence[AuthorityKey]) -> None:
        """Keep these and no others, durably. Raises Refused (KEY_MANAGER) when it can't."""
        ...


class MemoryKeyManager(KeyManager):
    """Keys die with the last signer."""

    def load(self) -> list[AuthorityKey]:
        return []

    def store(self, authorities: Sequence[AuthorityKey]) -> None:
        pass


class DiskKeyManager(KeyManager):
    """Keys are kept in a JSON file of mode 0600, which is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[AuthorityKey]:
        try:
            data = durable.read_file(self._path)
            mode = 0 if data is None else self._path.stat().st_mode
        except (durable.DurableError, OSError) as error:
            raise Refused(Code.KEY_MANAGER, f"keys file: {error}") from None
        if data is None:
            return []
        if mode & _OTHERS:
            raise self._refused(f"is open to other users; run: chmod 600 {self._path}")
        return self._parse(data)

    def store(self, authorities: Sequence[AuthorityKey]) -> None:
        document = {"finial": FORMAT, "authorities": [_to_json(each) for each in authorities]}
        data = json.dumps(document, indent=2).encode() + b"\n"
        try:
            durable.write_file(self._path, data, mode=0o600)
        except durable.DurableError as error:
            raise Refused(Code.KEY_MANAGER, f"keys file: {error}") from None

    def _parse(self, data: bytes) -> list[AuthorityKey]:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise self._damaged("it is not JSON") from None
        if isinstance(document, dict) and "keys" in document and "finial" not in document:
            raise self._refused(
                "is a keys file of SPIRE's; take it over with: finial server import spire"
            )
        if not isinstance(document, dict) or "finial" not in document:
            raise self._damaged('it has no member "finial"')
        if document["finial"] != FORMAT:
            raise self._refused(
                f"has format {document['finial']!r} and this program reads {FORMAT}; "
                "start the program that wrote it"
            )
        try:
            return [restore(_from_json(each)) for each in document["authorities"]]
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(f"{type(error).__name__} in its authorities") from None

    def _damaged(self, what: str) -> Refused:
        return self._refused(
            f"is damaged ({what}); restore it from a backup, or move it away to start with new "
            "authorities, after which agents need the new bundle"
        )

    def _refused(self, what: str) -> Refused:
        return Refused(Code.KEY_MANAGER, f"keys file {self._path} {what}")


def key_manager(settings: signer_pb2.Configure) -> KeyManager:
    """The key manager that the settings name.

    Raises:
        Refused: they name none.
    """
    if settings.key_manager == signer_pb2.Configure.MEMORY:
        return MemoryKeyManager()
    if settings.key_manager == signer_pb2.Configure.DISK and settings.keys_path:
        return DiskKeyManager(Path(settings.keys_path))
    raise Refused(Code.KEY_MANAGER, "no key manager is set, or no path for the disk key manager")


def _to_json(key: AuthorityKey) -> dict[str, Any]:
    message = key.to_message()
    record = message.authority
    return {
        "slot": record.slot,
        "kind": signer_pb2.AuthorityKind.Name(record.kind),
        "key_type": signer_pb2.KeyType.Name(record.key_type),
        "id": record.id,
        "not_before": record.not_before,
        "not_after": record.not_after,
        "certificate": base64.b64encode(record.certificate).decode(),
        "public_key": base64.b64encode(record.public_key).decode(),
        "private_key": base64.b64encode(message.private_key).decode(),
    }


def _from_json(entry: dict[str, Any]) -> signer_pb2.KeyedAuthority:
    record = signer_pb2.Authority(
        slot=entry["slot"],
        kind=signer_pb2.AuthorityKind.Value(entry["kind"]),
        key_type=signer_pb2.KeyType.Value(entry["key_type"]),
        id=entry["id"],
        not_before=entry["not_before"],
        not_after=entry["not_after"],
        certificate=base64.b64decode(entry["certificate"], validate=True),
        public_key=base64.b64decode(entry["public_key"], validate=True),
    )
    key = base64.b64decode(entry["private_key"], validate=True)
    return signer_pb2.KeyedAuthority(authority=record, private_key=key)
