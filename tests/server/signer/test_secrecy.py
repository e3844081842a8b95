"""The private keys of authorities are in the signers' memory and in no other."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from finial.server.signer.model import AuthorityKind, KeyType
from tests.server.signer.conftest import running_pool
from tests.server.signer.test_signing_policy import NOW, jwt_order, order

SEARCH = Path(__file__).with_name("search_memory.py")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read the memory of signers")
async def test_the_api_process_never_holds_an_authoritys_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    async with running_pool(keys_path=path) as pool:
        ca = await pool.generate(
            AuthorityKind.X509, "x509-CA-A", KeyType.EC_P256, NOW - 10, NOW + 86_400
        )
        key = await pool.generate(
            AuthorityKind.JWT, "JWT-Signer-A", KeyType.EC_P256, NOW - 10, NOW + 86_400
        )
        await pool.sign_x509(ca.id, [order()] * 100)
        await pool.sign_jwt(key.id, [jwt_order()] * 100)
        keeper, sibling = pool.pids
        found = await search(path, os.getpid(), keeper, sibling)
    assert found == {os.getpid(): "absent", keeper: "found", sibling: "found"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read the memory of signers")
async def test_the_search_would_find_a_key_in_this_process(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    async with running_pool(keys_path=path, processes=1) as pool:
        await pool.generate(
            AuthorityKind.X509, "x509-CA-A", KeyType.EC_P256, NOW - 10, NOW + 86_400
        )
        leaked = path.read_bytes()
        assert await search(path, os.getpid()) == {os.getpid(): "found"}
        assert leaked


async def search(path: Path, *pids: int) -> dict[int, str]:
    searcher = await asyncio.create_subprocess_exec(
        sys.executable, str(SEARCH), str(path), *map(str, pids), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await searcher.communicate()
    assert searcher.returncode == 0
    pairs = (line.split() for line in output.decode().splitlines())
    return {int(pid): verdict for pid, verdict in pairs}
