"""Waiting for the JWT-SVIDs of a call, in the terms of its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

from finial.agent.cache.tokens import HeldToken
from finial.agent.sync.tokens import TokenUnavailableError
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence


async def all_tokens(tokens: Sequence[HeldToken | Awaitable[HeldToken]]) -> Sequence[HeldToken]:
    """Return all of them, in their order. Raises StatusError (Unavailable) if one cannot be had."""
    try:
        if len(tokens) == 1:  # by far the most common, and not worth a task
            return [await _token(tokens[0])]
        return await asyncio.gather(*(_token(token) for token in tokens))
    except TokenUnavailableError as error:
        raise StatusError(grpc.StatusCode.UNAVAILABLE, str(error)) from None


async def _token(token: HeldToken | Awaitable[HeldToken]) -> HeldToken:
    return token if isinstance(token, HeldToken) else await token
