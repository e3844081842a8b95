"""Output and input masks, for any message whose mask has bools of the same names.

No mask means every field. A mask with nothing set leaves only the key, which no mask can name.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from google.protobuf.message import Message

_M = TypeVar("_M", bound=Message)

NOTHING_HIDDEN: Final[tuple[str, ...]] = ()


def hidden_fields(request: Message, field: str) -> Sequence[str]:
    """The fields that the mask in `request.field` takes away; compute once a call."""
    if not request.HasField(field):
        return NOTHING_HIDDEN
    mask: Message = getattr(request, field)
    return tuple(f.name for f in mask.DESCRIPTOR.fields if not getattr(mask, f.name))


def named_fields(request: Message, field: str) -> frozenset[str]:
    """The fields that the mask in `request.field` names: all that it could if there is none."""
    mask: Message = getattr(request, field)
    names = (f.name for f in mask.DESCRIPTOR.fields)
    if not request.HasField(field):
        return frozenset(names)
    return frozenset(name for name in names if getattr(mask, name))


def hide(message: _M, hidden: Sequence[str]) -> _M:
    """Takes the `hidden` fields out of `message`, in place; returns it."""
    for name in hidden:
        message.ClearField(name)
    return message
