"""An entry whose SVIDs will at times live shorter than it says is warned of when it is written."""

import logging

import pytest

from finial.api.spire import types_pb2
from finial.api.spire.server import entry_pb2
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from tests.fakes.server_api import ApiLab

COVERED = 14_400
"""Seconds that every authority of the lab covers."""


def entry(x509: int, jwt: int) -> types_pb2.Entry:
    return types_pb2.Entry(
        spiffe_id=types_pb2.SPIFFEID(trust_domain="example.org", path="/web"),
        parent_id=types_pb2.SPIFFEID(trust_domain="example.org", path="/node"),
        selectors=[types_pb2.Selector(type="unix", value="uid:1")],
        x509_svid_ttl=x509,
        jwt_svid_ttl=jwt,
    )


async def create(lab: ApiLab, x509: int, jwt: int = 0) -> str:
    request = entry_pb2.BatchCreateEntryRequest(entries=[entry(x509, jwt)])
    (result,) = (await EntryStub(lab.local).BatchCreateEntry(request)).results
    return result.entry.id


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        each.getMessage()
        for each in caplog.records
        if each.levelno == logging.WARNING and "shorter" in each.getMessage()
    ]


@pytest.mark.parametrize(
    ("x509", "jwt", "told"),
    [
        (0, 0, ()),
        (COVERED, COVERED, ()),
        (COVERED + 1, 0, ("x509",)),
        (0, COVERED + 1, ("jwt",)),
        (COVERED + 1, COVERED + 1, ("x509", "jwt")),
    ],
)
async def test_a_created_entry_is_warned_of_with_the_effective_ttl(
    lab: ApiLab, caplog: pytest.LogCaptureFixture, x509: int, jwt: int, told: tuple[str, ...]
) -> None:
    caplog.set_level(logging.WARNING)
    entry_id = await create(lab, x509, jwt)
    assert len(warnings(caplog)) == bool(told)
    for record in caplog.records:
        fields = record.__dict__["data"]
        assert fields["entry_id"] == entry_id
        effective = {name: fields.get(f"effective_{name}_svid_ttl") for name in ("x509", "jwt")}
        assert effective == {n: COVERED if n in told else None for n in ("x509", "jwt")}


async def test_so_is_an_update(lab: ApiLab, caplog: pytest.LogCaptureFixture) -> None:
    entry_id = await create(lab, 60)
    changed = entry(COVERED * 2, 0)
    changed.id = entry_id
    caplog.set_level(logging.WARNING)
    request = entry_pb2.BatchUpdateEntryRequest(entries=[changed])
    await EntryStub(lab.local).BatchUpdateEntry(request)
    (said,) = warnings(caplog)
    assert "raise ca_ttl" in said


async def test_an_entry_that_was_refused_is_not_warned_of(
    lab: ApiLab, caplog: pytest.LogCaptureFixture
) -> None:
    await create(lab, 60)
    caplog.set_level(logging.WARNING)
    await create(lab, COVERED * 2)  # similar to the first
    assert not warnings(caplog)
