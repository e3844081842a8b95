import pytest

from finial.agent.endpoints import validation
from finial.api.workload import workload_pb2 as pb
from finial.spiffe.jwt_svid import JwtSvid
from finial.spiffe.spiffe_id import SpiffeId

SVID = JwtSvid(SpiffeId("spiffe://example.org/w"), ("a",), 1, 0, {}, "k")


def test_every_kind_of_json_value_is_carried_over() -> None:
    claims = {"s": "x", "i": 3, "f": 1.5, "t": True, "n": None, "l": [1, [2]], "o": {"k": {}}}
    answer = pb.ValidateJWTSVIDResponse.FromString(validation.response(SVID, claims))
    assert answer.spiffe_id == "spiffe://example.org/w"
    fields = answer.claims.fields
    assert fields["t"].WhichOneof("kind") == "bool_value"
    assert fields["n"].WhichOneof("kind") == "null_value"
    assert fields["l"].list_value.values[1].list_value.values[0].number_value == 2
    assert fields["o"].struct_value.fields["k"].WhichOneof("kind") == "struct_value"


def test_empty_lists_and_objects_keep_their_kind() -> None:
    answer = pb.ValidateJWTSVIDResponse.FromString(validation.response(SVID, {"l": [], "o": {}}))
    assert answer.claims.fields["l"].WhichOneof("kind") == "list_value"
    assert answer.claims.fields["o"].WhichOneof("kind") == "struct_value"


def test_a_number_beyond_any_double_is_an_error_and_no_crash() -> None:
    with pytest.raises(OverflowError):
        validation.response(SVID, {"big": 10**400})


def test_foreign_claims_are_cut_to_the_allowed_ones() -> None:
    claims = {"sub": 1, "exp": 2, "aud": 3, "admin": True, "team": "x"}
    assert validation.shown_claims(claims, foreign=False, allowed=()) is claims
    shown = validation.shown_claims(claims, foreign=True, allowed={"team"})
    assert set(shown) == {"sub", "exp", "aud", "team"}
