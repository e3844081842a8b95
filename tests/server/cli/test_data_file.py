import pytest

from finial.runtime.cli.failure import FailureError
from finial.server.cli.entry.data_file import entries_from_json, ids_from_json

WHOLE = """{"entries": [{
  "entry_id": "e", "spiffe_id": "spiffe://a.org/w", "parent_id": "spiffe://a.org/n",
  "selectors": [{"type": "unix", "value": "uid:0"}], "x509_svid_ttl": 1, "jwt_svid_ttl": 2,
  "federates_with": ["spiffe://b.org", "c.org"], "admin": true, "downstream": true,
  "entryExpiry": 3, "dns_names": ["d"], "store_svid": true, "hint": "h",
  "additional_attributes": {"disable_x509_svid_prefetch": true}, "anything": "else"}]}"""


def test_every_member_is_read() -> None:
    [entry] = entries_from_json(WHOLE)
    assert entry.id == "e"
    assert (entry.spiffe_id.path, entry.parent_id.path) == ("/w", "/n")
    assert (entry.x509_svid_ttl, entry.jwt_svid_ttl, entry.expires_at) == (1, 2, 3)
    assert list(entry.federates_with) == ["b.org", "c.org"]
    assert (entry.admin, entry.downstream, entry.store_svid) == (True, True, True)
    assert list(entry.dns_names) == ["d"]
    assert entry.hint == "h"
    assert entry.additional_attributes.disable_x509_svid_prefetch
    assert not entry.additional_attributes.jwt_svid_include_jti


def test_names_are_found_in_any_case_and_null_is_as_missing() -> None:
    [entry] = entries_from_json(
        '{"ENTRIES": [{"Spiffe_ID": "spiffe://a.org/w", "parent_id": "spiffe://a.org/n", '
        '"hint": null, "selectors": null, "x509_svid_ttl": null}]}'
    )
    assert entry.spiffe_id.path == "/w"
    assert not entry.HasField("additional_attributes")


def test_entry_expiry_is_ignored_because_the_member_is_called_otherwise() -> None:
    [entry] = entries_from_json(WHOLE.replace("entryExpiry", "entry_expiry"))
    assert entry.expires_at == 0


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("", "unexpected end of JSON input"),
        (" \n", "unexpected end of JSON input"),
        ("nonsense", "no valid JSON: expecting value at line 1 column 1"),
        ('{"entries": [}', "no valid JSON: expecting value at line 1 column 14"),
        ("[" * 100_000, "no valid JSON: nested too deeply"),
        ("[]", "the document must be an object"),
        ('{"entries": 1}', "entries must be a list"),
        ('{"entries": [1]}', "entries[0] must be an object"),
        ('{"entries": [{"spiffe_id": 7}]}', "entries[0].spiffe_id must be a text"),
        (WHOLE.replace('"admin": true', '"admin": 1'), "entries[0].admin must be true or false"),
        (WHOLE.replace('"h"', '["a"]'), "entries[0].hint must be a text"),
        (WHOLE.replace('": 1,', '": 1.5,'), "entries[0].x509_svid_ttl must be an integer of 32"),
        (WHOLE.replace('": 1,', '": true,'), "entries[0].x509_svid_ttl must be an integer of 32"),
        (WHOLE.replace('": 1,', f'": {2**31},'), "entries[0].x509_svid_ttl must be an integer"),
        (WHOLE.replace('": 3,', f'": {2**63},'), "entries[0].entryExpiry must be an integer of 64"),
        ('{"entries": [{}]}', "entries[0]: invalid SPIFFE ID: cannot be empty"),
        (
            '{"entries": [{"spiffe_id": "spiffe://a.org/w", "parent_id": "x"}]}',
            "entries[0]: invalid parent ID: scheme is missing or invalid",
        ),
        (
            WHOLE.replace("c.org", "C!"),
            "entries[0]: invalid federated trust domain: trust domain may hold only",
        ),
        (WHOLE.replace('["d"]', "[1]"), "entries[0].dns_names[0] must be a text"),
        (
            WHOLE.replace('"uid:0"', "0"),
            "entries[0].selectors[0].value must be a text",
        ),
        (
            WHOLE.replace('{"disable_x509_svid_prefetch": true}', "true"),
            "entries[0].additional_attributes must be an object",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(document: str, complaint: str) -> None:
    with pytest.raises(FailureError) as caught:
        entries_from_json(document)
    assert str(caught.value).startswith(complaint)


def test_ids_are_a_list_of_texts() -> None:
    assert ids_from_json('{"ids": ["a", "b"], "x": 1}') == ["a", "b"]
    assert ids_from_json("{}") == []
    with pytest.raises(FailureError, match=r"ids\[1\] must be a text"):
        ids_from_json('{"ids": ["a", 1]}')
