"""A server beside a test that blocks: grpcio's own, which has threads and no event loop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def served(socket: Path, add_services: Callable[[grpc.Server], None]) -> Iterator[None]:
    """Serve on a Unix socket until the block ends."""
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        add_services(server)
        server.add_insecure_port(f"unix:{socket}")
        server.start()
        try:
            yield
        finally:
            server.stop(grace=None).wait()
