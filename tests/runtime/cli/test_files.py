import io
import stat
from pathlib import Path

import pytest

from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.files import PUBLIC, SECRET, read_input, write_output
from finial.runtime.cli.pem import certificate_pem


def test_a_dash_reads_standard_input() -> None:
    assert read_input("-", Console(stdin=io.StringIO("here"))) == "here"


def test_a_missing_file_is_named_with_the_reason() -> None:
    with pytest.raises(FailureError, match="open /no/such: no such file or directory"):
        read_input("/no/such", Console())


def test_a_secret_file_is_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("something longer than the new content")
    path.chmod(0o644)
    write_output(path, b"new", SECRET)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_public_file_keeps_the_mode_it_has(tmp_path: Path) -> None:
    path = tmp_path / "cert"
    path.write_text("old")
    path.chmod(0o640)
    write_output(path, b"new", PUBLIC)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_pem_has_lines_of_64_characters() -> None:
    lines = certificate_pem(bytes(100)).splitlines()
    assert lines[0] == "-----BEGIN CERTIFICATE-----"
    assert [len(line) for line in lines[1:-1]] == [64, 64, 8]
