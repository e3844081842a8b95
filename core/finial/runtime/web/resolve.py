"""From a name to addresses, as a step of its own: who decides on addresses decides on these."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Thread

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[Sequence[Address]]]
_Found = list[Address] | Exception


class SystemResolver:
    """Asks the system's resolver, each time on a thread of its own, at most `most` at once.

    A lookup cannot be interrupted, and one of a dead name server takes half a minute. On the loop's
    shared threads, of which there are few, some of these would keep everybody else waiting.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._running = 0

    async def __call__(self, host: str) -> Sequence[Address]:
        """Return each address of `host` once, in the resolver's order.

        Raises:
            OSError: the name is not known, nobody can be asked, or too many are asked already.
        """
        with suppress(ValueError):
            return [ip_address(host)]
        if self._running >= self._most:
            raise OSError("too many lookups are under way")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Found] = loop.create_future()

        def ended(found: _Found) -> None:
            self._running -= 1
            if not answer.done():
                answer.set_result(found)

        def work() -> None:
            found = _look_up(host)
            with suppress(RuntimeError):  # the loop has closed; nobody waits
                loop.call_soon_threadsafe(ended, found)

        self._running += 1
        try:
            Thread(target=work, name=f"resolve {host}", daemon=True).start()
        except RuntimeError:  # the system has no thread left
            self._running -= 1
            raise OSError("no thread can be had to look the name up") from None
        found = await answer
        if isinstance(found, Exception):
            raise found
        return found


def _look_up(host: str) -> _Found:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = (ip_address(str(where[0])) for *_, where in found)
        return list(dict.fromkeys(addresses))
    except (OSError, ValueError) as error:
        return error
