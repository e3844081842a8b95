"""A workload on grpcio that watches its X509-SVID: `watcher.py SOCKET SECONDS`.

Prints one line of JSON: how many SVIDs it was given, the smallest life that one had left when its
successor came, and for how many seconds it held an expired one.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc
from cryptography import x509

from finial.api.workload import workload_pb2 as pb

LOOK = 0.05
"""Seconds between two looks at the clock."""


@dataclass
class Seen:
    """What the watcher has seen so far."""

    svids: int = 0
    serials: set[int] = field(default_factory=set)
    smallest_life_left: float = float("inf")
    expired_seconds: float = 0.0
    not_after: float = 0.0

    def take(self, response: Any) -> None:
        """Put a new SVID in the place of the one that is held."""
        leaf = x509.load_der_x509_certificate(response.svids[0].x509_svid)
        if leaf.serial_number in self.serials:
            return  # the bundle has changed, not the SVID
        if self.svids:
            self.smallest_life_left = min(self.smallest_life_left, self.not_after - time.time())
        self.svids += 1
        self.serials.add(leaf.serial_number)
        self.not_after = leaf.not_valid_after_utc.timestamp()


def watch(socket: str, seconds: float) -> Seen:
    """Hold the newest SVID for that long, and look at it all the time."""
    seen, over = Seen(), threading.Event()
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        call = channel.unary_stream(
            "/SpiffeWorkloadAPI/FetchX509SVID",
            pb.X509SVIDRequest.SerializeToString,
            pb.X509SVIDResponse.FromString,
        )(pb.X509SVIDRequest(), metadata=(("workload.spiffe.io", "true"),))
        seen.take(next(call))

        def read() -> None:
            try:
                for response in call:
                    seen.take(response)
            except grpc.RpcError as error:
                if not over.is_set():
                    print(f"the stream has ended: {error}", file=sys.stderr)

        reader = threading.Thread(target=read)
        reader.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if time.time() >= seen.not_after:
                seen.expired_seconds += LOOK
            over.wait(LOOK)
        over.set()
        call.cancel()
        reader.join()
    return seen


if __name__ == "__main__":
    outcome = asdict(watch(sys.argv[1], float(sys.argv[2])))
    del outcome["serials"], outcome["not_after"]
    print(json.dumps(outcome))
