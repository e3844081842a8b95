from pathlib import Path

import pytest

from finial.runtime.durable import DamagedFileError
from finial.server.server_id import server_id


def test_a_folder_keeps_its_id(tmp_path: Path) -> None:
    made = server_id(tmp_path)
    assert len(made) == 32
    assert server_id(tmp_path) == made
    assert (tmp_path / "server_id").stat().st_mode & 0o777 == 0o600


def test_each_folder_has_another_id(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert server_id(one) != server_id(other)


@pytest.mark.parametrize("content", [b"", b"short\n", b"../../etc\n", b"0" * 33, b"A" * 32])
def test_a_damaged_file_is_not_taken_for_an_id_and_not_replaced(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "server_id").write_bytes(content)
    with pytest.raises(DamagedFileError, match="restore it from a backup; or remove it"):
        server_id(tmp_path)
    assert (tmp_path / "server_id").read_bytes() == content
