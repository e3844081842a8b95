import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from finial.runtime import logging as ours
from finial.runtime.logging import log
from finial.runtime.secret import Secret

logger = logging.getLogger("finial.tests.part")
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzcGlmZmUifQ.c2lnbmF0dXJl"
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----"


def fail(message: str) -> NoReturn:
    raise RuntimeError(message)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    ours.setup("info", format="json", stream=stream)
    yield stream
    ours.setup("info", stream=io.StringIO())


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_hold_level_message_subsystem_and_fields(stream: io.StringIO) -> None:
    log(logger, logging.WARNING, "entry skipped", entry_id="e1", count=3, ids=("a", "b"))
    [line] = lines(stream)
    assert str(line.pop("time")).endswith("+00:00")
    assert line == {
        "level": "warning",
        "msg": "entry skipped",
        "subsystem_name": "tests.part",
        "entry_id": "e1",
        "count": 3,
        "ids": ["a", "b"],
    }


def test_text_lines_quote_what_is_no_plain_word(stream: io.StringIO) -> None:
    text = io.StringIO()
    ours.setup("info", format="text", stream=text)
    log(logger, logging.INFO, "agent attested", agent="spiffe://a/b", who='x "y"', ok=True, n=1)
    line = text.getvalue()
    assert ' level=info msg="agent attested" subsystem_name=tests.part ' in line
    assert line.endswith(' agent=spiffe://a/b who="x \\"y\\"" ok=true n=1\n')
    assert not stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_value_with_line_breaks_forges_no_second_line(form: ours.Format) -> None:
    text = io.StringIO()
    ours.setup("info", format=form, stream=text)
    log(
        logger, logging.INFO, "refused", name='x\ntime="now" level=info msg="admin logged in"\r\x1b'
    )
    try:
        fail("first\nsecond")
    except RuntimeError:
        logger.exception("failed\nbadly")
    assert len(text.getvalue().splitlines()) == 2
    assert "\x1b" not in text.getvalue()
    assert "RuntimeError: first" in text.getvalue()


def test_the_level_changes_at_run_time_and_returns_to_the_launch_level(stream: io.StringIO) -> None:
    log(logger, logging.DEBUG, "one")
    ours.set_level("DEBUG")
    assert (ours.current_level(), ours.launch_level()) == ("debug", "info")
    log(logger, logging.DEBUG, "two")
    ours.set_level("error")
    log(logger, logging.WARNING, "three")
    ours.reset_level()
    assert ours.current_level() == "info"
    log(logger, logging.DEBUG, "four")
    assert [line["msg"] for line in lines(stream)] == ["two"]


@pytest.mark.parametrize("name", ["panic", "fatal", "error", "warn", "info", "debug", "trace"])
def test_every_level_of_spire_is_known_by_name(name: str, stream: io.StringIO) -> None:
    ours.set_level(name)
    assert ours.current_level() == name
    log(logger, ours.LEVELS[name], "at")
    log(logger, ours.LEVELS[name] - 1, "below")
    [line] = lines(stream)
    assert line["level"] == {"warn": "warning"}.get(name, name)


def test_an_unknown_level_is_refused_with_the_known_ones(stream: io.StringIO) -> None:
    ours.set_level("warning")
    with pytest.raises(ValueError, match="unknown log level 'loud': use one of panic, fatal"):
        ours.set_level("loud")
    assert ours.current_level() == "warn"
    assert not stream.getvalue()


def test_other_peoples_debug_lines_stay_out(stream: io.StringIO) -> None:
    ours.set_level("trace")
    logging.getLogger("hpack.hpack").debug("decoded authorization header")
    logging.getLogger("hpack.hpack").warning("odd header")
    assert [line["msg"] for line in lines(stream)] == ["odd header"]


def test_the_log_file_is_opened_anew_when_it_is_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    ours.setup("info", file=path)
    log(logger, logging.INFO, "one")
    path.rename(tmp_path / "server.log.1")
    log(logger, logging.INFO, "two")
    ours.setup("info", stream=io.StringIO())
    assert "msg=two" in path.read_text()
    assert "msg=one" in (tmp_path / "server.log.1").read_text()


def test_the_source_location_is_the_callers() -> None:
    text = io.StringIO()
    ours.setup("info", stream=text, source_location=True)
    log(logger, logging.INFO, "here")
    assert "test_logging.py:" in text.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_planted_secrets_never_reach_the_log(form: ours.Format) -> None:
    text = io.StringIO()
    ours.setup("trace", format=form, stream=text)
    log(
        logger,
        logging.INFO,
        f"svid {JWT}",
        join_token="sown-1",
        token="sown-2",
        nested={"private_key": "sown-3", "list": [{"password": "sown-4"}, f"bearer {JWT}"]},
        config=Secret("sown-5"),
        blob=b"sown-6",
        pem=PEM,
        error=ValueError(f"bad token {JWT}"),
    )
    try:
        fail(f"cannot load {PEM}")
    except RuntimeError:
        logger.exception("failed")
    for planted in ("sown-", "eyJ", "c2lnbmF0dXJl", "MIGH"):
        assert planted not in text.getvalue()
    assert "<redacted>" in text.getvalue()
    assert "<6 bytes>" in text.getvalue()


def test_names_that_only_sound_like_secrets_are_shown(stream: io.StringIO) -> None:
    log(logger, logging.INFO, "tokens", token_ttl=600, key_id="k1", tokens=3)
    [line] = lines(stream)
    assert (line["token_ttl"], line["key_id"], line["tokens"]) == (600, "k1", 3)
