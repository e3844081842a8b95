"""Certificate files: read, read again, and kept when what is new cannot be served."""

import asyncio
from pathlib import Path

import pytest
from cryptography import x509

from finial.server.federation.certificates import CertificateError, CertificateFiles
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import eventually
from tests.fakes.web_pki import WebPki, write_pair

PKI = WebPki()


class Pair:
    """Two files, and what reads them."""

    def __init__(self, folder: Path) -> None:
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        self.clock = FakeClock()
        self.files = CertificateFiles(self.chain, self.key, interval=60, clock=self.clock)

    def write(self, *names: str) -> bytes:
        identity = PKI.issue(*names)
        write_pair(identity, self.chain, self.key)
        return identity.chain_der[0]

    def spoil(self, which: str, content: bytes | None) -> None:
        """Write this into one file; None removes it, and `other` is a sound one that fits not."""
        path, kept = (self.chain, self.key) if which == "chain" else (self.key, self.chain)
        if content is None:
            path.unlink()
        elif content == b"other":
            held = kept.read_bytes()
            self.write("b.test")
            kept.write_bytes(held)
        else:
            path.write_bytes(content)

    @property
    def leaf(self) -> bytes:
        return self.files.identity().chain_der[0]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


async def test_a_pair_is_taken_and_looked_at_again_at_the_interval(pair: Pair) -> None:
    first = pair.write("a.test")
    await pair.files.start()
    assert pair.leaf == first
    looking = asyncio.ensure_future(pair.files.run())
    second = pair.write("b.test")
    await pair.clock.advance(59)
    assert pair.leaf == first
    await pair.clock.advance(2)
    await eventually(lambda: pair.leaf == second)
    looking.cancel()


async def test_an_unchanged_pair_stays_the_same_object(pair: Pair) -> None:
    pair.write("a.test")
    await pair.files.start()
    identity = pair.files.identity()
    await pair.files.look()
    assert pair.files.identity() is identity


@pytest.mark.parametrize("which", ["chain", "key"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN", None, b"other"])
async def test_a_bad_pair_leaves_the_one_before_and_is_told_without_its_content(
    pair: Pair, which: str, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    first = pair.write("a.test")
    await pair.files.start()
    pair.spoil(which, content)
    await pair.files.look()
    assert pair.leaf == first
    assert "stays in use" in caplog.text
    assert "PRIVATE" not in caplog.text
    mended = pair.write("c.test")
    await pair.files.look()
    assert pair.leaf == mended


async def test_a_server_does_not_start_with_files_that_cannot_be_served(pair: Pair) -> None:
    with pytest.raises(CertificateError, match="not been read"):
        pair.files.identity()
    with pytest.raises(CertificateError, match="cannot be read: no such file"):
        await pair.files.start()
    pair.write()
    with pytest.raises(CertificateError, match="names no host"):
        await pair.files.start()
    pair.write("192.0.2.1")
    await pair.files.start()


@pytest.mark.parametrize(
    "error",
    [
        x509.DuplicateExtension("twice", x509.SubjectAlternativeName.oid),
        x509.UnsupportedGeneralNameType("unknown"),
    ],
)
async def test_a_certificate_whose_extensions_cannot_be_read_is_not_taken(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unreadable(*_: object) -> None:
        raise error

    pair.write("a.test")
    monkeypatch.setattr(x509.Extensions, "get_extension_for_class", unreadable)
    with pytest.raises(CertificateError, match="names no host"):
        await pair.files.start()
