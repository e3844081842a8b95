"""What can go wrong with signers, as the API process sees it.

SignerError
├── SignerUnavailable    no signer could be asked; the same request may succeed later
├── SignerRefused        the request as a whole was refused; `code` says why
└── SignerStartError     the first signer refuses to start, or cannot be started

What is refused of a batch is not an exception but a result of the batch.
"""
# ruff: noqa: N818  (each is named for what happened; the root of the tree says error)

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finial.api.finial import signer_pb2


class SignerError(Exception):
    """Base of what can go wrong with signers."""


class SignerUnavailable(SignerError):
    """No signer could be asked, or each that was asked ended before it answered."""


class SignerRefused(SignerError):
    """A signer refused a request; the message holds no secret."""

    def __init__(self, refusal: signer_pb2.Refusal) -> None:
        super().__init__(refusal.message)
        self.code = refusal.code


class SignerStartError(SignerError):
    """No signer can be started; the message says why and what to do."""
