"""The table of who may call what."""

import importlib
import pkgutil

from finial.api.grpc import health_pb2
from finial.api.spire import server as server_api
from finial.server.api.authorization import TABLE, CallerKind, allowed_kinds, render_markdown
from tests.server.api import authorization_doc


def methods_on_the_wire() -> set[str]:
    """Of every service whose stubs the server's API has."""
    folder = server_api.__path__
    names = [each.name for each in pkgutil.iter_modules(folder) if each.name.endswith("_pb2")]
    protos = [importlib.import_module(f"{server_api.__name__}.{name}") for name in names]
    return {
        f"/{service.full_name}/{method.name}"
        for proto in (health_pb2, *protos)
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


def test_the_documentation_is_what_the_table_says() -> None:
    hint = "run python -m tests.server.api.authorization_doc"
    assert authorization_doc.FILE.read_text() == authorization_doc.document(), hint
