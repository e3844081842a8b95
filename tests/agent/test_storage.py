import asyncio
import base64
import json
import stat
import threading
from pathlib import Path

import pytest

from finial.agent import keys, storage
from finial.agent.errors import StorageError
from finial.agent.storage import AgentData, DiskKeys, MemoryKeys, StoredSvid
from finial.runtime import durable
from tests.fakes.ca import FakeCa

CA = FakeCa()
AGENT = CA.issue("spiffe://example.org/spire/agent/join_token/t")

# As SPIRE 1.15.3 writes it: base64 of PEM in JSON, Go's zero time.
SPIRE_DATA = {
    "svid": [],
    "bundle": [],
    "reattestable": False,
    "bootstrap_use": 0,
    "bootstrap_start_time": "0001-01-01T00:00:00Z",
    "connection_attempts": 0,
}


def pem64(der: bytes) -> str:
    body = base64.encodebytes(der).decode().replace("\n", "")
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    text = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
    return base64.b64encode(text.encode()).decode()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    data = AgentData(tmp_path)
    assert data.svid is None
    assert data.bundle == ()
    assert list(tmp_path.iterdir()) == []


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    data = AgentData(tmp_path)
    data.store_bundle([CA.der])
    data.store_svid(StoredSvid(AGENT.chain, reattestable=True))
    again = AgentData(tmp_path)
    assert again.bundle == (CA.der,)
    assert again.svid == StoredSvid(AGENT.chain, reattestable=True)
    assert mode(tmp_path / "agent-data.json") == 0o600


def test_the_shape_on_disk_is_spires(tmp_path: Path) -> None:
    data = AgentData(tmp_path)
    data.store_bundle([CA.der])
    data.store_svid(StoredSvid(AGENT.chain, reattestable=False))
    written = json.loads((tmp_path / "agent-data.json").read_text())
    assert written == SPIRE_DATA | {
        "svid": [pem64(AGENT.chain[0])],
        "bundle": [pem64(CA.der)],
    }


def test_spires_own_file_is_taken_over_and_its_other_members_kept(tmp_path: Path) -> None:
    theirs = SPIRE_DATA | {
        "svid": [pem64(AGENT.chain[0])],
        "bundle": [pem64(CA.der)],
        "reattestable": True,
        "bootstrap_use": 2,
        "added_by_a_later_version": {"x": 1},
    }
    (tmp_path / "agent-data.json").write_text(json.dumps(theirs))
    data = AgentData(tmp_path)
    assert data.svid == StoredSvid(AGENT.chain, reattestable=True)
    data.delete_svid()
    written = json.loads((tmp_path / "agent-data.json").read_text())
    assert written == theirs | {"svid": None, "reattestable": False}
    assert AgentData(tmp_path).svid is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"svid": "x"}', "member 'svid'"),
        ('{"svid": ["!"]}', "member 'svid'"),
        ('{"svid": [5]}', "member 'svid'"),
        ('{"bundle": ["aGFsbG8="]}', "member 'bundle'"),
    ],
)
def test_a_damaged_file_is_refused_with_a_way_out(
    tmp_path: Path, content: str, complaint: str
) -> None:
    (tmp_path / "agent-data.json").write_text(content)
    with pytest.raises(StorageError, match=complaint) as caught:
        AgentData(tmp_path)
    assert "agent-data.json" in str(caught.value)
    assert "backup" in str(caught.value)


async def test_what_two_tasks_store_at_once_is_both_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = AgentData(tmp_path)
    writing, overtaken = threading.Event(), threading.Event()

    def slow_disk(path: Path, content: bytes) -> None:
        if writing.is_set():
            overtaken.set()
        else:
            writing.set()
            overtaken.wait(0.1)
        durable.write_file(path, content)

    monkeypatch.setattr(storage, "_write", slow_disk)
    bundle = asyncio.create_task(asyncio.to_thread(data.store_bundle, (CA.der,)))
    await asyncio.to_thread(writing.wait, 10)
    await asyncio.to_thread(data.store_svid, StoredSvid(AGENT.chain, reattestable=False))
    await bundle
    again = AgentData(tmp_path)
    assert again.svid == StoredSvid(AGENT.chain, reattestable=False)
    assert again.bundle == (CA.der,)


def key() -> bytes:
    return keys.pkcs8(keys.new_key())


def public(private: bytes) -> bytes:
    return keys.public_der(keys.load_pkcs8(private))


def test_keys_take_the_two_slots_in_turn(tmp_path: Path) -> None:
    store = DiskKeys(tmp_path)
    first, second, third = key(), key(), key()
    store.store_next(first)
    store.use(first)
    store.store_next(second)
    store.use(second)
    written = json.loads((tmp_path / "keys.json").read_text())
    assert written == {
        "keys": {
            "agent-svid-A": base64.b64encode(first).decode(),
            "agent-svid-B": base64.b64encode(second).decode(),
        }
    }
    assert mode(tmp_path / "keys.json") == 0o600
    store.store_next(third)
    assert store.find(public(first)) is None
    assert store.find(public(second)) == second


def test_the_key_in_use_survives_any_number_of_failed_renewals(tmp_path: Path) -> None:
    for store in (DiskKeys(tmp_path), MemoryKeys()):
        current = key()
        store.store_next(current)
        store.use(current)
        for _ in range(3):
            store.store_next(key())
            assert store.find(public(current)) == current


def test_after_a_restart_the_slot_in_use_is_known_by_the_svids_key(tmp_path: Path) -> None:
    store = DiskKeys(tmp_path)
    current = key()
    store.store_next(current)
    again = DiskKeys(tmp_path)
    found = again.find(public(current))
    assert found == current
    again.use(current)
    again.store_next(key())
    assert DiskKeys(tmp_path).find(public(current)) == current


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"keys": ["x"]}', '{"keys": {"agent-svid-A": "aGFsbG8="}}']
)
def test_a_damaged_keys_file_is_refused_and_never_quoted(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(StorageError) as caught:
        DiskKeys(tmp_path)
    assert "keys.json" in str(caught.value)
    assert "aGFsbG8" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/below"):
        DiskKeys(tmp_path / "file" / "below")
