"""Server reflection, asked as tools ask; an independent client asks in the conformance tests."""

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import finial.api.finial.signer_pb2
import finial.api.spire.server.svid_pb2
import finial.api.workload.workload_pb2  # noqa: F401  (three protocols that this process knows)
from finial.api.grpc import reflection_pb2 as v1
from finial.api.grpc import reflection_v1alpha_pb2 as v1alpha
from finial.runtime.reflection import OWN, Described, Reflection
from finial.runtime.rpc import StatusError

SERVED = {"SpiffeWorkloadAPI", *OWN}


@pytest.fixture(params=[v1, v1alpha])
def pb(request: pytest.FixtureRequest) -> Any:
    return request.param


def ask(pb: Any, **question: Any) -> Any:
    reflection = Reflection(Described(SERVED), pb)
    return reflection.answer(pb.ServerReflectionRequest(host="h", **question))


def files(response: Any) -> list[descriptor_pb2.FileDescriptorProto]:
    found = response.file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(each) for each in found]


def test_the_services_that_are_served_are_listed_and_no_others(pb: Any) -> None:
    response = ask(pb, list_services="*")
    assert [each.name for each in response.list_services_response.service] == sorted(SERVED)
    assert response.valid_host == "h"
    assert response.original_request.list_services == "*"


@pytest.mark.parametrize(
    "symbol",
    [
        "SpiffeWorkloadAPI",
        "SpiffeWorkloadAPI.FetchWITSVID",
        "X509SVIDResponse",
        "X509SVIDResponse.FederatedBundlesEntry",
    ],
)
def test_a_symbol_leads_to_its_file_and_all_that_it_imports(pb: Any, symbol: str) -> None:
    found = files(ask(pb, file_containing_symbol=symbol))
    assert [each.name for each in found] == [
        "finial/api/workload/workload.proto",
        "google/protobuf/struct.proto",
    ]
    pool = descriptor_pool.DescriptorPool()
    for file in reversed(found):
        pool.Add(file)
    assert pool.FindServiceByName("SpiffeWorkloadAPI").methods
    described = pool.FindMessageTypeByName("WITSVID")
    assert message_factory.GetMessageClass(described)(hint="h").SerializeToString()


def test_a_file_is_found_by_its_name(pb: Any) -> None:
    found = files(ask(pb, file_by_filename="google/protobuf/struct.proto"))
    assert [each.name for each in found] == ["google/protobuf/struct.proto"]


def test_a_message_without_extensions_has_none(pb: Any) -> None:
    response = ask(pb, all_extension_numbers_of_type="X509SVID")
    assert response.all_extension_numbers_response.base_type_name == "X509SVID"
    assert list(response.all_extension_numbers_response.extension_number) == []


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "no/such.proto"},
        {"file_by_filename": "finial/api/finial/signer.proto"},
        {"file_by_filename": "finial/api/spire/server/svid.proto"},
        {"file_containing_symbol": "no.Such"},
        {"file_containing_symbol": ""},
        {"file_containing_symbol": "finial.signer.v1.Policy"},
        {"file_containing_symbol": "spire.api.server.svid.v1.SVID.MintX509SVID"},
        {"all_extension_numbers_of_type": "no.Such"},
        {"all_extension_numbers_of_type": "finial.signer.v1.Policy"},
        {"file_containing_extension": ("X509SVID", 1)},
        {"file_containing_extension": ("no.Such", -1)},
    ],
)
def test_what_is_not_served_is_not_found_although_this_process_knows_it(
    pb: Any, question: dict[str, Any]
) -> None:
    (kind, wanted), *_ = question.items()
    if isinstance(wanted, tuple):
        wanted = pb.ExtensionRequest(containing_type=wanted[0], extension_number=wanted[1])
    response = ask(pb, **{kind: wanted})
    assert response.error_response.error_code == 5
    assert response.error_response.error_message.startswith("not found: ")


def test_an_answer_repeats_a_bounded_part_of_a_name(pb: Any) -> None:
    response = ask(pb, file_containing_symbol="x" * 10_000)
    assert len(response.error_response.error_message) < 300


def test_no_question_is_no_answer(pb: Any) -> None:
    with pytest.raises(StatusError):
        ask(pb)


def test_a_service_that_nothing_describes_is_told_at_the_start() -> None:
    with pytest.raises(KeyError):
        Described({"no.Such"})
