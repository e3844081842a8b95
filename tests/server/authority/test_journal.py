import pytest

from finial.server.authority.journal import JournalError, decode, encode
from finial.server.authority.rotator import Authority, State

A = Authority(id="a", slot="x509-CA-A", not_before=1, not_after=2, signed_until=2, lost=True)
B = Authority(id="b", slot="x509-CA-B", not_before=1, not_after=2)


@pytest.mark.parametrize(
    "state", [State(), State(active=B), State(active=B, prepared=A, old=(A, B))]
)
def test_a_state_comes_back_as_it_was_written(state: State) -> None:
    assert decode(encode(state)) == state


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"finial": 1}',
        encode(State(active=A))[:-20],
        b'{"finial": 1, "active": 3, "prepared": null, "old": []}',
        b'{"finial": 1, "active": null, "prepared": null, "old": [{"id": "a"}]}',
    ],
)
def test_a_damaged_journal_is_refused_with_a_way_out(data: bytes) -> None:
    with pytest.raises(JournalError, match="restore the database from a backup"):
        decode(data)


def test_a_newer_journal_is_refused() -> None:
    with pytest.raises(JournalError, match="start the program that wrote it"):
        decode(b'{"finial": 2}')
