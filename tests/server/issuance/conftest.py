"""An issuer over real signatures and fake surroundings."""

import logging
from dataclasses import dataclass

import pytest

from finial.runtime.observe import Observer
from finial.server.authority import AuthorityManager, AuthoritySettings
from finial.server.issuance import Issuer, Lifetimes
from finial.server.signer.model import KeyType
from tests.fakes.authority import FakeIssuedRecords, FakeJournals, FakeOwnBundle
from tests.fakes.clock import FakeClock
from tests.fakes.signers import FakeSigners


@dataclass
class World:
    clock: FakeClock
    signers: FakeSigners
    bundle: FakeOwnBundle
    journals: FakeJournals
    authorities: AuthorityManager
    issued: FakeIssuedRecords
    issuer: Issuer


@pytest.fixture
async def world() -> World:
    return await world_of(FakeSigners())


async def world_of(signers: FakeSigners) -> World:
    """An issuer over these signers."""
    clock, issued = FakeClock(), FakeIssuedRecords()
    bundle, journals = FakeOwnBundle(), FakeJournals()
    observer = Observer(logging.getLogger("finial.test"))
    authorities = AuthorityManager(
        AuthoritySettings(wit_key_type=KeyType.EC_P384),
        clock=clock,
        signers=signers,
        bundle=bundle,
        journals=journals,
        observer=observer,
    )
    await authorities.start()
    issuer = Issuer(
        lifetimes=Lifetimes(longest_x509=86_400, longest_jwt=86_400),
        clock=clock,
        signers=signers,
        authorities=authorities,
        issued=issued,
        observer=observer,
    )
    return World(clock, signers, bundle, journals, authorities, issued, issuer)
