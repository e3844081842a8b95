"""What must neither end the watcher nor make writers wait in a row, nor change how they begin."""

import asyncio
import os
import resource
import threading
from collections.abc import Awaitable, Callable, Iterator
from queue import SimpleQueue

import psycopg
import pytest

from finial.server.datastore.database import Database
from finial.server.datastore.errors import StoreSlow, StoreUnreachable
from finial.server.datastore.horizon import Horizon, Sighting
from finial.server.datastore.postgres import PostgresTarget, session
from finial.server.datastore.postgres.session import WRITERS_LOCK, PostgresSession
from finial.server.datastore.postgres.watcher import FeedWatcher
from finial.server.datastore.transaction import Recording
from tests.fakes.postgres import Pair
from tests.server.datastore.postgres.conftest import run

Opening = Callable[[], Awaitable[Database]]


@pytest.fixture
def many_files() -> Iterator[None]:
    """So many that whatever is opened next has a number above 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2048
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("the limit of open files is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    held = [os.open(os.devnull, os.O_RDONLY)]
    while held[-1] < 1024:
        held.append(os.dup(held[0]))
    yield
    for each in held:
        os.close(each)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_commits_are_heard_of_also_with_more_than_a_thousand_open_files(
    database: Database, others: Opening
) -> None:
    other = await others()
    for revision in range(3):
        await database.write(lambda t: t.change("thing", "x"))
        await asyncio.wait_for(other.wait_beyond(revision), 30)


def test_the_watcher_outlives_an_error_that_nobody_thought_of(
    where: PostgresTarget, caplog: pytest.LogCaptureFixture
) -> None:
    told: SimpleQueue[Sighting] = SimpleQueue()

    def seen(sighting: Sighting) -> None:
        first = told.empty() and not caplog.messages
        told.put(sighting)
        if first:
            raise ValueError("unthought of")

    with psycopg.connect(where.conninfo.reveal()) as making:
        making.execute("CREATE TABLE change_feed (revision bigint)")
    watcher = FeedWatcher(where, Horizon("", 0), seen)
    told.get(timeout=30)
    told.get(timeout=30)
    watcher.close()
    assert "the database cannot be watched" in caplog.text


def test_the_watcher_ends_when_nobody_is_left_to_tell(where: PostgresTarget) -> None:
    threads: SimpleQueue[threading.Thread] = SimpleQueue()

    def seen(_: Sighting) -> None:
        threads.put(threading.current_thread())
        raise RuntimeError("Event loop is closed")

    with psycopg.connect(where.conninfo.reveal()) as making:
        making.execute("CREATE TABLE change_feed (revision bigint)")
    watcher = FeedWatcher(where, Horizon("", 0), seen)
    thread = threads.get(timeout=30)
    thread.join(30)
    assert not thread.is_alive()
    watcher.close()


async def test_writes_that_wait_for_the_lock_in_vain_do_so_together(
    others: Opening, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = session._SETTINGS.replace("lock_timeout = '15s'", "lock_timeout = '300ms'")
    monkeypatch.setattr(session, "_SETTINGS", short)
    database = await others()
    begun = count_begun(monkeypatch, fail_from=1000)
    ran: list[int] = []
    with psycopg.connect(postgres_dsn, autocommit=True) as holder:
        holder.execute(f"SELECT pg_advisory_lock({WRITERS_LOCK})".encode())
        works = [lambda _, n=n: ran.append(n) for n in range(20)]
        outcomes = await asyncio.gather(*map(database.write, works), return_exceptions=True)
    assert {type(each) for each in outcomes} == {StoreSlow}
    assert ran == []
    assert len(begun) <= 2  # the first may have come alone
    assert await database.write(lambda t: t.change("thing", "x")) == 1


async def test_writes_that_are_run_again_do_not_wait_in_a_row_either(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(_: Recording) -> None:
        started.set()
        assert go_on.wait(30)

    def failing(_: Recording) -> None:
        raise LookupError

    begun = count_begun(monkeypatch, fail_from=3)
    first = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(started.wait, 30)
    rest = [asyncio.create_task(database.write(failing)) for _ in range(5)]
    await asyncio.sleep(0)
    go_on.set()
    await first
    outcomes = await asyncio.gather(*rest, return_exceptions=True)
    assert {type(each) for each in outcomes} == {StoreSlow}
    assert len(begun) == 3


def count_begun(monkeypatch: pytest.MonkeyPatch, fail_from: int) -> list[int]:
    begun: list[int] = []
    begin = PostgresSession.begin_announcing

    def counting(self: PostgresSession, known: int) -> int:
        begun.append(known)
        if len(begun) >= fail_from:
            raise psycopg.errors.LockNotAvailable
        return begin(self, known)

    monkeypatch.setattr(PostgresSession, "begin_announcing", counting)
    return begun


async def test_how_writes_are_isolated_is_not_left_to_the_databases_default(
    others: Opening, where: PostgresTarget, postgres_dsn: str
) -> None:
    ((name,),) = run(postgres_dsn, "SELECT current_database()")
    default = "SET default_transaction_isolation TO 'serializable'"
    run(postgres_dsn, f'ALTER DATABASE "{name}" {default}')
    database = await others()

    def level(recording: Recording) -> object:
        return recording.connection.exec_driver_sql("SHOW transaction_isolation").scalar()

    assert await database.write(level) == "read committed"
    assert await database.record(level) == "read committed"
    alone = PostgresSession.writer(where)
    alone.begin_alone()
    assert alone.raw.execute(b"SHOW transaction_isolation").fetchone() == ("read committed",)
    alone.close()


def test_a_session_that_finds_itself_on_a_replica_looks_for_the_primary(
    postgres_pair: Pair,
) -> None:
    url = postgres_pair.replica.url() + "&target_session_attrs=any"
    writer = PostgresSession.writer(PostgresTarget.of(url))
    with pytest.raises(psycopg.Error, match="recovery") as refused:
        writer.begin()
    assert isinstance(writer.explain(refused.value), StoreUnreachable)
    assert writer.raw.closed
    writer.close()
