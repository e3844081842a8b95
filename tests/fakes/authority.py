"""The authorities' surroundings in memory: own bundle, journals, records. Each can be full."""

from collections.abc import Sequence

from finial.server.datastore.errors import StoreFull
from finial.server.registry.model import IssuedSvid
from finial.spiffe.bundle import JwtAuthority, WitAuthority, X509Authority


class FakeOwnBundle:
    """The trust domain's own bundle. `log` has what was added and removed, in order."""

    def __init__(self) -> None:
        self.x509: dict[str, X509Authority] = {}
        self.jwt: dict[str, JwtAuthority] = {}
        self.wit: dict[str, WitAuthority] = {}
        self.log: list[str] = []
        self.full = False

    async def append(
        self,
        x509: Sequence[X509Authority] = (),
        jwt: Sequence[JwtAuthority] = (),
        wit: Sequence[WitAuthority] = (),
    ) -> None:
        self._check()
        for root in x509:
            self.x509[root.authority_id] = root
            self.log.append(f"+{root.authority_id}")
        for key in jwt:
            self.jwt[key.key_id] = key
            self.log.append(f"+{key.key_id}")
        for bound in wit:
            self.wit[bound.key_id] = bound
            self.log.append(f"+{bound.key_id}")

    async def remove(
        self, x509: Sequence[str] = (), jwt: Sequence[str] = (), wit: Sequence[str] = ()
    ) -> None:
        self._check()
        for each in x509:
            del self.x509[each]
            self.log.append(f"-{each}")
        for each in jwt:
            del self.jwt[each]
            self.log.append(f"-{each}")
        for each in wit:
            del self.wit[each]
            self.log.append(f"-{each}")

    def _check(self) -> None:
        if self.full:
            raise StoreFull("test database")


class FakeJournals:
    """Journals by name; survives whoever writes it."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.full = False
        self.writes = 0

    async def get(self, name: str) -> bytes | None:
        return self.data.get(name)

    async def put(self, name: str, data: bytes) -> None:
        if self.full:
            raise StoreFull("test database")
        self.data[name] = data
        self.writes += 1


class FakeIssuedRecords:
    """The record of issued SVIDs."""

    def __init__(self) -> None:
        self.svids: list[IssuedSvid] = []
        self.full = False

    async def record(self, svids: Sequence[IssuedSvid]) -> None:
        if self.full:
            raise StoreFull("test database")
        self.svids += svids
