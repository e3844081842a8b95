"""The system's resolver, on threads."""

from threading import Thread

import pytest

from finial.runtime.web.resolve import SystemResolver


async def test_a_lookup_that_finds_no_thread_fails_and_is_not_counted_as_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = SystemResolver(most=1)
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refused)
        for _ in range(2):
            with pytest.raises(OSError, match="no thread"):
                await resolver("localhost")
    assert await resolver("localhost")
