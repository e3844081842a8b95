from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from finial.server.datastore.errors import StoreUnusable
from finial.server.datastore.postgres import PostgresTarget

PASSWORD = "correct-horse"


def told(target: PostgresTarget) -> dict[str, object]:
    return dict(conninfo_to_dict(target.conninfo.reveal()))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("host=db port=6432 user=u dbname=spire", "postgres://u@db:6432/spire"),
        ("dbname=spire", "postgres://localhost:5432/spire"),
        ("host=a,b port=1 user=u", "postgres://u@a:1,b:1/u"),
        (f"postgres://u:{PASSWORD}@a:1,b:2/spire", "postgres://u@a:1,b:2/spire"),
        (f"postgresql://u:{PASSWORD}@h/d?sslmode=disable", "postgres://u@h:5432/d"),
        (f"host=db user=u password='{PASSWORD}' dbname=x", "postgres://u@db:5432/x"),
    ],
)
def test_a_database_is_named_without_its_password(text: str, name: str) -> None:
    target = PostgresTarget.of(text)
    assert target.name == name
    assert PASSWORD not in f"{target!r} {target} {target.name}"


def test_nothing_goes_on_in_the_clear_or_waits_for_ever_unless_it_is_asked_for() -> None:
    defaults = told(PostgresTarget.of("host=db dbname=spire"))
    assert defaults["sslmode"] == "require"
    assert defaults["connect_timeout"] == "5"
    assert defaults["target_session_attrs"] == "read-write"
    asked = told(PostgresTarget.of("host=db sslmode=disable connect_timeout=7"))
    assert (asked["sslmode"], asked["connect_timeout"]) == ("disable", "7")
    assert told(PostgresTarget.of("host=db connect_timeout=0"))["connect_timeout"] == "5"


def test_certificates_are_handed_to_libpq_and_make_it_check_the_servers() -> None:
    found = told(
        PostgresTarget.of(
            "host=db", root_ca=Path("/r"), client_cert=Path("/c"), client_key=Path("/k")
        )
    )
    assert (found["sslrootcert"], found["sslcert"], found["sslkey"]) == ("/r", "/c", "/k")
    assert found["sslmode"] == "verify-full"


@pytest.mark.parametrize(("most", "readers"), [(0, 4), (4, 1), (6, 3), (100, 4)])
def test_connections_are_no_more_than_were_allowed(most: int, readers: int) -> None:
    assert PostgresTarget.of("host=db", max_connections=most).readers == readers


def test_fewer_connections_than_are_needed_are_refused() -> None:
    with pytest.raises(StoreUnusable, match=r"needs 4 connections .*raise max_open_conns"):
        PostgresTarget.of("host=db", max_connections=3)


@pytest.mark.parametrize(
    "text",
    [
        f"host=db password={PASSWORD} battery",
        f"password='{PASSWORD}",
        f"host=db password=x {PASSWORD}=y",
        f"postgres://u:{PASSWORD}/battery@db/spire",
        f"postgres://u:x@{PASSWORD}@db/spire",
        f"postgres://u:x#{PASSWORD}@db/spire",
        f"postgres://u:%zz{PASSWORD}@db/spire",
        f"postgres://u:p@db/spire?{PASSWORD}",
        f"{PASSWORD}",
        f"host=db\0{PASSWORD}",
    ],
)
def test_what_cannot_be_read_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(StoreUnusable, match=r"^the connection_string") as refused:
        PostgresTarget.of(text)
    assert PASSWORD not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


TEXTS = st.text(st.sampled_from("ab:/@?#&=%'\\ ,[]\0é"), max_size=12)


@given(before=TEXTS, after=TEXTS, form=st.sampled_from(["url", "words", "quoted"]))
@example(before="a/", after="", form="url")
@example(before="a b=", after="", form="words")
def test_no_password_is_ever_named(before: str, after: str, form: str) -> None:
    password = f"{before}{PASSWORD}{after}"
    text = {
        "url": f"postgres://u:{password}@db/spire",
        "words": f"host=db user=u password={password} dbname=spire",
        "quoted": f"host=db user=u password='{password}' dbname=spire",
    }[form]
    try:
        target = PostgresTarget.of(text)
    except StoreUnusable as error:
        assert PASSWORD not in str(error)  # noqa: PT017  (it may be accepted as well)
        return
    assert PASSWORD not in f"{target!r} {target.name}"
    assert PASSWORD not in target.scrub(f"connecting with {told(target).get('password')} failed")
