"""The authorities' surroundings in memory: own bundle, journals, records. Each can be full."""

from collections.abc import Awaitable, Callable, Sequence

from finial.server.datastore.authority_marks import revoked, tainted
from finial.server.datastore.errors import StoreFull
from finial.server.registry.model import IssuedSvid
from finial.server.signer.model import AuthorityKind
from finial.spiffe.bundle import Bundle, JwtAuthority, WitAuthority, X509Authority
from finial.spiffe.trust_domain import TrustDomain


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
            self.x509.pop(each, None)
            self.log.append(f"-{each}")
        for each in jwt:
            self.jwt.pop(each, None)
            self.log.append(f"-{each}")
        for each in wit:
            self.wit.pop(each, None)
            self.log.append(f"-{each}")

    async def taint(self, kind: AuthorityKind, authority_id: str) -> None:
        self._check()
        self._become(tainted(self._bundle(), kind.value, authority_id))
        self.log.append(f"taint {authority_id}")

    async def revoke(self, kind: AuthorityKind, authority_id: str) -> None:
        self._check()
        self._become(revoked(self._bundle(), kind.value, authority_id))
        self.log.append(f"-{authority_id}")

    def _bundle(self) -> Bundle:
        return Bundle(
            TrustDomain("example.org"),
            tuple(self.x509.values()),
            tuple(self.jwt.values()),
            tuple(self.wit.values()),
        )

    def _become(self, bundle: Bundle) -> None:
        self.x509 = {each.authority_id: each for each in bundle.x509_authorities}
        self.jwt = {each.key_id: each for each in bundle.jwt_authorities}
        self.wit = {each.key_id: each for each in bundle.wit_authorities}

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
        self.on_record: Callable[[], Awaitable[None]] | None = None
        """What happens elsewhere while something is being recorded."""

    async def record(self, svids: Sequence[IssuedSvid]) -> None:
        if self.full:
            raise StoreFull("test database")
        self.svids += svids
        if self.on_record is not None:
            await self.on_record()
