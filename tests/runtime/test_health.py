import pytest

from finial.runtime.health import READY, STARTING, Health, State


def test_without_any_check_a_process_lives_and_is_not_ready() -> None:
    health = Health()
    assert health.live
    assert not health.ready


def test_it_is_ready_when_every_check_is() -> None:
    health = Health()
    store, authority = health.register("datastore"), health.register("authority")
    store.ok()
    assert not health.ready
    authority.ok()
    assert health.ready
    assert health.states() == {"datastore": READY, "authority": READY}


def test_a_check_starts_live_and_not_ready() -> None:
    health = Health()
    assert health.register("datastore").state == STARTING
    assert health.live


def test_waiting_is_not_dying() -> None:
    health = Health()
    check = health.register("sync")
    check.ok()
    check.not_ready("the server is unreachable")
    assert health.live
    assert not health.ready
    assert check.state == State(live=True, ready=False, message="the server is unreachable")
    check.failed("the agent is banned")
    assert not health.live


def test_a_name_is_registered_once() -> None:
    health = Health()
    health.register("datastore")
    with pytest.raises(ValueError, match="'datastore' is registered twice"):
        health.register("datastore")


def test_what_works_can_have_something_to_say() -> None:
    health = Health()
    check = health.register("federation")
    check.ok("1 of 2 bundles is old")
    assert health.ready
    assert health.states() == {"federation": State(True, True, "1 of 2 bundles is old")}
