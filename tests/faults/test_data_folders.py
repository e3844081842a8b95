"""Data that is in use, damaged or not ours: the program refuses to start and touches nothing."""

import asyncio
import base64
import hashlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from finial.server.datastore.schema import HEAD
from tests.fakes.lab import Lab, empty_lab, whole_lab

LOCK = "finial.lock"
DATABASE = "datastore.sqlite3"


# --- in use


async def test_a_second_program_on_a_data_folder_is_refused(lab: Lab) -> None:
    for daemon, folder in ((lab.server, lab.server_data), (lab.agent, lab.agent_data)):
        assert await daemon.refused() == (
            f"data folder {folder} is in use by process {daemon.pid}: "
            "stop that process, or give this one a data_dir of its own\n"
        )
    assert await lab.entry_ids()
    await lab.serving("/db")


# --- damaged

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folders of a server and its agent that have been used and stopped."""
    kept = tmp_path_factory.mktemp("sound")

    async def use() -> None:
        async with whole_lab() as lab:
            assert (await lab.agent.stop(), await lab.server.stop()) == (0, 0)
            for folder in (lab.server_data, lab.agent_data):
                shutil.copytree(folder, kept / folder.name)

    asyncio.run(use())
    return kept


@pytest.fixture
async def stopped(sound: Path) -> AsyncIterator[Lab]:
    """A lab with a copy of that data."""
    async with empty_lab() as lab:
        for folder in (lab.server_data, lab.agent_data):
            shutil.copytree(sound / folder.name, folder)
        yield lab


def state_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and content of every file.

    Not of the lock, in which the process writes its ID, nor of an empty write-ahead log with its
    index, which is what two connections leave that close at the same moment.
    """
    return {
        path.name: (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.iterdir()
        if path.name != LOCK
        and not path.name.endswith("-shm")
        and not (path.name.endswith("-wal") and path.stat().st_size == 0)
    }


def cut(name: str) -> Damage:
    """Lose the second half of a file, as a copy that was broken off does."""

    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return damage


def statement(sql: str, *values: object) -> Damage:
    """Change the database with SQLite's own tool."""

    def damage(folder: Path) -> None:
        with closing(sqlite3.connect(folder / DATABASE)) as connection:
            assert connection.execute(sql, values).rowcount != 0
            connection.commit()

    return damage


def one_page(name: str) -> Damage:
    """Overwrite the first page of a table or an index, as a failing disk does."""

    def damage(folder: Path) -> None:
        path = folder / DATABASE
        with closing(sqlite3.connect(path)) as connection:
            where = "SELECT rootpage FROM sqlite_master WHERE name = ?"
            ((page,),) = connection.execute(where, (name,)).fetchall()
            ((size,),) = connection.execute("PRAGMA page_size").fetchall()
        data = bytearray(path.read_bytes())
        data[(page - 1) * size : page * size] = b"\x5a" * size
        path.write_bytes(data)

    return damage


def changed(name: str, *path: str, change: Callable[[Any], Any]) -> Damage:
    """Put something else into one member of a JSON file."""

    def damage(folder: Path) -> None:
        document = inner = json.loads((folder / name).read_text())
        for step in path[:-1]:
            inner = inner[int(step) if isinstance(inner, list) else step]
        inner[path[-1]] = change(inner[path[-1]])
        (folder / name).write_text(json.dumps(document))

    return damage


def last_byte_turned(encoded: str) -> str:
    data = bytearray(base64.b64decode(encoded))
    data[-1] ^= 1
    return base64.b64encode(data).decode()


def keys_of_spires(folder: Path) -> None:
    (folder / "keys.json").write_text('{"keys": {"x509-CA-A": "MC4="}}')


def open_to_all(folder: Path) -> None:
    (folder / "keys.json").chmod(0o644)


JOURNAL = (
    b'{"finial": 1, "prepared": null, "old": [],'
    b' "active": {"id": 5, "slot": "x509-CA-A", "not_before": "1", "not_after": "2"}}'
)
SERVER_DAMAGE: dict[str, tuple[Damage, str]] = {
    "database cut": (cut(DATABASE), "restore it from a backup, or move it away"),
    "an index of the database": (one_page("sqlite_autoindex_join_tokens_1"), "restore it from"),
    "an entry": (statement("UPDATE entries SET spiffe_id = 'x'"), "a row is not as it was written"),
    "journal": (
        statement("UPDATE server_journals SET data = ?", JOURNAL),
        "the authority journal is damaged: restore the database from a backup",
    ),
    "newer database": (
        statement("UPDATE alembic_version SET version_num = '9999'"),
        f"newer Finial (schema 9999, this program knows up to {HEAD}): start that version again",
    ),
    "keys cut": (cut("keys.json"), "restore it from a backup, or move it away"),
    "a certificate": (
        changed("keys.json", "authorities", "0", "certificate", change=last_byte_turned),
        "keys.json is damaged",
    ),
    "keys of SPIRE's": (keys_of_spires, "take it over with: finial server import spire"),
    "keys open to others": (open_to_all, "run: chmod 600"),
}


@pytest.mark.parametrize("damage", SERVER_DAMAGE)
async def test_a_server_with_damaged_data_refuses_to_start(stopped: Lab, damage: str) -> None:
    do, told = SERVER_DAMAGE[damage]
    do(stopped.server_data)
    before = state_of(stopped.server_data)
    said = await stopped.server.refused()
    assert told in said
    assert said.count("\n") == 1
    assert state_of(stopped.server_data) == before
    assert not stopped.server.socket.exists()


async def test_a_spire_servers_database_is_refused_and_left_alone(stopped: Lab) -> None:
    stopped.keys.unlink()
    stopped.database.unlink()
    with closing(sqlite3.connect(stopped.database)) as connection:
        connection.execute("CREATE TABLE registered_entries (id INTEGER)")
    before = state_of(stopped.server_data)
    assert "take it over with `finial server import spire`" in await stopped.server.refused()
    assert state_of(stopped.server_data) == before


DATA = "agent-data.json"
ANEW = "attest the agent anew"
AGENT_DAMAGE: dict[str, tuple[Damage, str]] = {
    "data cut": (cut(DATA), f"{DATA} is damaged"),
    "svid": (changed(DATA, "svid", change=lambda _: ["AAAA"]), ANEW),
    "keys cut": (cut("keys.json"), "keys.json is damaged"),
    "a key": (changed("keys.json", "keys", "agent-svid-A", change=lambda _: "AAAA"), ANEW),
}


@pytest.mark.parametrize("damage", AGENT_DAMAGE)
async def test_an_agent_with_damaged_data_refuses_to_start(stopped: Lab, damage: str) -> None:
    do, told = AGENT_DAMAGE[damage]
    do(stopped.agent_data)
    stopped.bundle_file.write_text("not looked at")
    before = state_of(stopped.agent_data)
    said = await stopped.agent.refused()
    assert told in said
    assert "restore" in said
    assert said.count("\n") == 1
    assert state_of(stopped.agent_data) == before
    assert not stopped.agent.socket.exists()
