"""Output and input masks."""

from finial.api.spire import types_pb2
from finial.api.spire.server import entry_pb2
from finial.server.api.masks import hidden_fields, hide, named_fields


def entry() -> types_pb2.Entry:
    return types_pb2.Entry(id="e", hint="h", admin=True, x509_svid_ttl=5)


def test_no_mask_shows_everything() -> None:
    request = entry_pb2.GetEntryRequest()
    assert hide(entry(), hidden_fields(request, "output_mask")) == entry()


def test_an_empty_mask_leaves_the_key_alone() -> None:
    request = entry_pb2.GetEntryRequest(output_mask=types_pb2.EntryMask())
    assert hide(entry(), hidden_fields(request, "output_mask")) == types_pb2.Entry(id="e")


def test_a_mask_leaves_what_it_names() -> None:
    request = entry_pb2.GetEntryRequest(output_mask=types_pb2.EntryMask(hint=True))
    shown = hide(entry(), hidden_fields(request, "output_mask"))
    assert shown == types_pb2.Entry(id="e", hint="h")


def test_without_an_input_mask_every_field_is_named() -> None:
    request = entry_pb2.BatchUpdateEntryRequest()
    names = {field.name for field in types_pb2.EntryMask.DESCRIPTOR.fields}
    assert named_fields(request, "input_mask") == names


def test_an_input_mask_names_its_fields_only() -> None:
    mask = types_pb2.EntryMask(hint=True, admin=True)
    request = entry_pb2.BatchUpdateEntryRequest(input_mask=mask)
    assert named_fields(request, "input_mask") == {"hint", "admin"}


def test_the_masks_have_the_names_of_the_fields_they_hide() -> None:
    for mask, message in (
        (types_pb2.EntryMask, types_pb2.Entry),
        (types_pb2.AgentMask, types_pb2.Agent),
        (types_pb2.BundleMask, types_pb2.Bundle),
    ):
        names = {field.name for field in message.DESCRIPTOR.fields}
        assert {field.name for field in mask.DESCRIPTOR.fields} < names
