"""The keys file: what is read, what is refused and with what advice."""

import json
from pathlib import Path

import pytest

from finial.api.finial import signer_pb2
from finial.server.signer.keystore import DiskKeyManager, MemoryKeyManager, key_manager
from finial.server.signer.refusal import Refused
from tests.server.signer.test_template import authority


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_keys_come_back_as_they_were_stored(path: Path) -> None:
    stored = [authority(), authority(signer_pb2.EC_P384)]
    stored[1].record.slot = "x509-CA-B"
    DiskKeyManager(path).store(stored)
    found = DiskKeyManager(path).load()
    assert [each.to_message() for each in found] == [each.to_message() for each in stored]


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    DiskKeyManager(path).store([authority()])
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


def test_no_file_means_no_keys(path: Path) -> None:
    assert DiskKeyManager(path).load() == []


def test_memory_keeps_nothing() -> None:
    MemoryKeyManager().store([authority()])
    assert MemoryKeyManager().load() == []


def test_a_file_open_to_others_is_refused(path: Path) -> None:
    DiskKeyManager(path).store([authority()])
    path.chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        DiskKeyManager(path).load()


def test_a_keys_file_of_spires_is_left_alone(path: Path) -> None:
    content = json.dumps({"keys": {"x509-CA-A": "MIGH"}})
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Refused, match="finial server import spire"):
        DiskKeyManager(path).load()
    assert path.read_text() == content


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"finial": 1}',
        '{"finial": 1, "authorities": 3}',
        '{"finial": 1, "authorities": [{}]}',
        '{"finial": 1, "authorities": ["x"]}',
    ],
)
def test_a_damaged_file_is_refused_with_a_way_out(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Refused, match="restore it from a backup"):
        DiskKeyManager(path).load()


@pytest.mark.parametrize("field", ["private_key", "certificate", "public_key"])
@pytest.mark.parametrize("how", ["cut", "swapped", "garbled"])
def test_a_key_that_does_not_fit_its_record_is_refused(path: Path, field: str, how: str) -> None:
    DiskKeyManager(path).store([authority()])
    document = json.loads(path.read_text())
    DiskKeyManager(path).store([authority()])
    other = json.loads(path.read_text())
    entry = document["authorities"][0]
    entry[field] = {
        "cut": entry[field][:-8],
        "swapped": other["authorities"][0][field],
        "garbled": "*" * 40,
    }[how]
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    with pytest.raises(Refused, match="damaged") as refused:
        DiskKeyManager(path).load()
    assert entry["private_key"] not in str(refused.value)


def test_a_newer_format_is_refused(path: Path) -> None:
    path.write_text('{"finial": 2, "authorities": []}')
    path.chmod(0o600)
    with pytest.raises(Refused, match="start the program that wrote it"):
        DiskKeyManager(path).load()


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="create the folder"):
        DiskKeyManager(tmp_path / "none" / "keys.json").store([authority()])


def test_settings_without_a_key_manager_are_refused() -> None:
    with pytest.raises(Refused):
        key_manager(signer_pb2.Configure())
    with pytest.raises(Refused):
        key_manager(signer_pb2.Configure(key_manager=signer_pb2.Configure.DISK))
