"""X509-SVIDs as text and as files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from finial.api.workload.workload_pb2 import X509SVID, X509SVIDResponse
from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError, file_failure
from finial.runtime.cli.files import PUBLIC, SECRET, write_output
from finial.runtime.cli.output import counted
from finial.runtime.cli.pem import certificate_pem, private_key_pem
from finial.runtime.cli.times import local_time
from finial.spiffe import certificate
from finial.spiffe.x509_svid.der import split_certificates


def described(response: X509SVIDResponse, seconds: float) -> str:
    """What arrived after so many seconds: each SVID with the validity of every certificate."""
    head = f"Received {counted(len(response.svids), 'svid', 'svids')} after {brief(seconds)}\n\n"
    federated = {name: _split(der) for name, der in sorted(response.federated_bundles.items())}
    return head + "".join(_svid(svid, federated) for svid in response.svids)


def brief(seconds: float) -> str:
    """A short time as Go prints it, to three digits or so: `2.16ms`, `1.53s`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.2f}".rstrip("0").rstrip(".") + unit
    return "0s"


def write_files(folder: Path, response: X509SVIDResponse, console: Console) -> None:
    """Write chain, key and bundles of every SVID as PEM; raises FailureError."""
    for place, svid in enumerate(response.svids):
        files = [
            (f"SVID #{place}", f"svid.{place}.pem", _pem(_split(svid.x509_svid)), PUBLIC),
            (
                f"key #{place}",
                f"svid.{place}.key",
                private_key_pem(svid.x509_svid_key),
                SECRET,
            ),
            (f"bundle #{place}", f"bundle.{place}.pem", _pem(_split(svid.bundle)), PUBLIC),
        ]
        for number, (name, der) in enumerate(sorted(response.federated_bundles.items())):
            files.append(
                (
                    f"federated bundle #{number} for trust domain {name}",
                    f"federated_bundle.{place}.{number}.pem",
                    _pem(_split(der)),
                    PUBLIC,
                )
            )
        for what, name, content, mode in files:
            _write(what, folder / name, content, mode, console)


def _write(what: str, path: Path, content: str, mode: int, console: Console) -> None:
    console.show(f"Writing {what} to file {path}.")
    try:
        write_output(path, content.encode(), mode)
    except OSError as error:
        raise file_failure("open", str(path), error) from None


def _svid(svid: X509SVID, federated: dict[str, tuple[bytes, ...]]) -> str:
    leaf, *intermediates = _split(svid.x509_svid)
    lines = [f"SPIFFE ID:\t\t{svid.spiffe_id}"]
    lines += [f"Hint:\t\t\t{svid.hint}"] if svid.hint else []
    lines += _validity("SVID", leaf)
    for number, der in enumerate(intermediates, 1):
        lines += _validity(f"Intermediate #{number}", der)
    for number, der in enumerate(_split(svid.bundle), 1):
        lines += _validity(f"CA #{number}", der)
    for name, authorities in federated.items():
        for number, der in enumerate(authorities, 1):
            lines += _validity(f"[{name}] CA #{number}", der)
    return "\n".join(lines) + "\n\n"


def _validity(what: str, der: bytes) -> list[str]:
    try:
        cert = certificate.load(der)
    except ValueError as error:
        raise FailureError(f"the agent sent a broken certificate: {error}") from None
    start, end = cert.not_valid_before_utc.timestamp(), cert.not_valid_after_utc.timestamp()
    return [
        f"{what} Valid After:\t{local_time(start)}",
        f"{what} Valid Until:\t{local_time(end)}",
    ]


def _split(ders: bytes) -> tuple[bytes, ...]:
    try:
        return split_certificates(ders)
    except ValueError as error:
        raise FailureError(f"the agent sent a broken certificate: {error}") from None


def _pem(ders: Iterable[bytes] | Sequence[bytes]) -> str:
    return "".join(map(certificate_pem, ders))
