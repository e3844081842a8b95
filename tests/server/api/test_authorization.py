"""The table of who may call what."""

from finial.api.grpc import health_pb2
from finial.api.spire.server import (
    agent_pb2,
    bundle_pb2,
    debug_pb2,
    entry_pb2,
    logger_pb2,
    svid_pb2,
)
from finial.server.api.authorization import TABLE, CallerKind, allowed_kinds, render_markdown

PROTOS = (agent_pb2, bundle_pb2, debug_pb2, entry_pb2, health_pb2, logger_pb2, svid_pb2)


def methods_on_the_wire() -> set[str]:
    return {
        f"/{service.full_name}/{method.name}"
        for proto in PROTOS
        for service in proto.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


def test_the_table_has_every_method_of_every_service_and_no_other() -> None:
    assert set(TABLE) == methods_on_the_wire()


def test_a_method_that_the_table_lacks_is_open_to_nobody() -> None:
    assert allowed_kinds("/spire.api.server.agent.v1.Agent/Nonsense") == frozenset()


def test_only_attestation_and_the_bundle_are_open_to_anybody() -> None:
    assert {method for method, kinds in TABLE.items() if CallerKind.ANY in kinds} == {
        "/spire.api.server.agent.v1.Agent/AttestAgent",
        "/spire.api.server.bundle.v1.Bundle/GetBundle",
    }


def test_what_agents_do_for_themselves_is_closed_to_administrators_and_local_callers() -> None:
    agents_own = {method for method, kinds in TABLE.items() if kinds == {CallerKind.AGENT}}
    assert {method.rpartition("/")[2] for method in agents_own} == {
        "RenewAgent",
        "PostStatus",
        "GetAuthorizedEntries",
        "SyncAuthorizedEntries",
        "BatchNewX509SVID",
        "NewJWTSVID",
        "BatchNewWITSVID",
    }


def test_logger_debug_and_health_are_for_local_callers_only() -> None:
    local = {method for method, kinds in TABLE.items() if kinds == {CallerKind.LOCAL}}
    assert {method.split(".")[-1].split("/")[0] for method in local} == {
        "Logger",
        "Debug",
        "Health",
    }


def test_the_documentation_has_a_row_for_each_method() -> None:
    lines = render_markdown().splitlines()
    assert len(lines) == len(TABLE) + 2
    row = next(line for line in lines if "Agent/BanAgent`" in line)
    assert row.endswith("|  | yes | yes |  |  |")
