import asyncio
import logging
import timeit

import grpc
import pytest

from finial.runtime.observe import CallInfo, Observer, new_correlation_id


class Caller:
    """A caller whose text is counted."""

    def __init__(self) -> None:
        self.printed = 0

    def __str__(self) -> str:
        self.printed += 1
        return "unix:pid=7"


def call(caller: object = "unix:pid=7", kind: str = "workload") -> CallInfo:
    return CallInfo("abc-1", "/SpiffeWorkloadAPI/FetchX509SVID", caller, kind)


@pytest.fixture
def logger() -> logging.Logger:
    logger = logging.getLogger("tests.observe")
    logger.setLevel(logging.DEBUG)
    return logger


def data(record: logging.LogRecord) -> dict[str, object]:
    fields = record.__dict__["data"]
    assert isinstance(fields, dict)
    return fields


def test_a_call_is_one_line_with_its_correlation_id(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    observer = Observer(logger)
    observer.started(call())
    observer.finished(call(), grpc.StatusCode.OK, "", 0.0123456)
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.DEBUG, "call finished")
    assert data(record) == {
        "correlation_id": "abc-1",
        "method": "/SpiffeWorkloadAPI/FetchX509SVID",
        "caller": "unix:pid=7",
        "authorized_as": "workload",
        "code": "OK",
        "ms": 12.346,
    }


def test_a_failed_call_is_seen_at_info_with_its_message(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    Observer(logger).finished(
        call(), grpc.StatusCode.PERMISSION_DENIED, "no identity issued", 0.001
    )
    [record] = caplog.records
    assert record.levelno == logging.INFO
    assert data(record)["error"] == "no identity issued"


def test_an_act_carries_the_id_of_the_call_it_belongs_to(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    observer = Observer(logger)

    async def handler() -> None:
        observer.started(call())
        await asyncio.create_task(issue())

    async def issue() -> None:
        observer.act("x509-svid issued", spiffe_id="spiffe://example.org/a")

    asyncio.run(handler())
    [record] = caplog.records
    assert record.levelno == logging.INFO
    assert data(record) == {"spiffe_id": "spiffe://example.org/a", "correlation_id": "abc-1"}


def test_the_audit_record_has_every_call_and_act_at_info(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.setLevel(logging.INFO)
    observer = Observer(logger, audit=True)
    observer.finished(call(), grpc.StatusCode.OK, "", 0.001)
    observer.act("jwt-svid issued", level=logging.DEBUG)
    assert [data(record)["type"] for record in caplog.records] == ["audit", "audit"]
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.INFO]


def test_frequent_acts_are_silent_at_info_without_the_audit_record(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.setLevel(logging.INFO)
    Observer(logger).act("jwt-svid issued", level=logging.DEBUG)
    assert not caplog.records


def test_nothing_is_made_into_text_while_the_level_is_off(logger: logging.Logger) -> None:
    logger.setLevel(logging.WARNING)
    caller = Caller()
    observer = Observer(logger)
    observer.started(call(caller))
    observer.finished(call(caller), grpc.StatusCode.OK, "", 0.001)
    observer.finished(call(caller), grpc.StatusCode.INTERNAL, "", 0.001)
    assert caller.printed == 0


def test_a_silent_call_costs_a_few_microseconds_at_most(logger: logging.Logger) -> None:
    logger.setLevel(logging.WARNING)
    observer = Observer(logger)

    def one_call() -> None:
        info = CallInfo(new_correlation_id(), "/m", observer, "workload")
        observer.started(info)
        observer.finished(info, grpc.StatusCode.OK, "", 0.001)

    best = min(timeit.repeat(one_call, number=2000, repeat=10)) / 2000
    assert best < 10e-6  # 1 us measured; the margin is for a loaded machine


def test_correlation_ids_are_short_and_never_repeat() -> None:
    ids = {new_correlation_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) < 20 for each in ids)
