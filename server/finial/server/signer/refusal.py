"""What a signer answers instead of a signature."""

from __future__ import annotations

from finial.api.finial import signer_pb2

Code = signer_pb2.Refusal.Code


class Refused(Exception):  # noqa: N818  (an answer, not a fault)
    """A request, or one order of it, is not carried out. The message holds no secret."""

    def __init__(self, code: signer_pb2.Refusal.Code.ValueType, message: str) -> None:
        super().__init__(message)
        self.code = code

    def to_message(self) -> signer_pb2.Refusal:
        """The refusal as it crosses the link."""
        return signer_pb2.Refusal(code=self.code, message=str(self))


def policy_violation(message: str) -> Refused:
    """The signer's own policy forbids it."""
    return Refused(Code.POLICY, message)
