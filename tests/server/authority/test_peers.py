"""What a server knows of the authorities of others, and what becomes of those that are gone."""

import pytest

from finial.server.authority import journal
from finial.server.authority.peers import Peers
from finial.server.authority.rotator import DAY, Authority, State
from finial.server.datastore.journal import ForeignJournal

NOW = 1_800_000_000


def authority(name: str, not_after: int) -> Authority:
    return Authority(id=name, slot="x509-CA-A", not_before=NOW - DAY, not_after=not_after)


class Journals:
    """The journals of other servers, as a store has them."""

    def __init__(self, **states: State) -> None:
        self.found = [
            ForeignJournal(server, "authority/x509", journal.encode(state))
            for server, state in states.items()
        ]

    async def others(self) -> list[ForeignJournal]:
        return list(self.found)

    async def remove(self, journal: ForeignJournal) -> bool:
        self.found.remove(journal)
        return True


async def test_all_that_other_servers_have_is_held() -> None:
    one = State(authority("a", NOW), authority("p", NOW), (authority("o", NOW),))
    other = State(prepared=authority("q", NOW))
    assert await Peers(Journals(one=one, other=other)).held() == {"a", "p", "o", "q"}


async def test_the_journal_of_a_server_that_is_gone_for_good_is_pruned() -> None:
    gone = State(authority("a", NOW - DAY), None, (authority("o", NOW - 2 * DAY),))
    journals = Journals(gone=gone)
    assert await Peers(journals).prune(NOW) == 1
    assert journals.found == []


@pytest.mark.parametrize(
    "state",
    [
        State(active=authority("a", NOW - DAY + 1)),
        State(prepared=authority("p", NOW + DAY), old=(authority("o", NOW - 9 * DAY),)),
        State(old=(authority("o", NOW - 9 * DAY), authority("n", NOW - DAY + 1))),
    ],
)
async def test_the_journal_of_a_server_that_may_come_back_stays(state: State) -> None:
    journals = Journals(away=state)
    assert await Peers(journals).prune(NOW) == 0
    assert len(journals.found) == 1


async def test_a_journal_that_cannot_be_read_hides_no_other_and_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journals = Journals(gone=State(active=authority("a", NOW - DAY)))
    newer = ForeignJournal("newer", "authority/x509", b'{"finial": 99}')
    journals.found.insert(0, newer)
    peers = Peers(journals)
    assert await peers.held() == {"a"}
    assert await peers.prune(NOW) == 1
    assert journals.found == [newer]
    assert "cannot read another server's authorities" in caplog.text
