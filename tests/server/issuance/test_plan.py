import pytest

from finial.server.issuance.plan import Lifetimes, Validity, validity

NOW = 1_800_000_000.7
LIVES = Lifetimes(x509=3600, jwt=300, agent=0, longest_x509=7200, longest_jwt=600)


def test_a_certificate_begins_ten_seconds_before_its_issue() -> None:
    assert validity(3600, 2_000_000_000, NOW) == Validity(1_799_999_990, 1_800_003_600, 3600)


def test_nothing_outlives_its_authority() -> None:
    assert validity(3600, 1_800_000_100, NOW) == Validity(
        1_799_999_990, 1_800_000_100, 100, cut=3500
    )


@pytest.mark.parametrize("end", [1_800_000_000, 1_799_999_999, 0])
def test_an_ended_authority_gives_no_validity(end: int) -> None:
    assert validity(3600, end, NOW) is None


@pytest.mark.parametrize(
    ("kind", "wanted", "seconds"),
    [
        ("workload", 0, 3600),
        ("workload", 60, 60),
        ("workload", 600_000, 7200),
        ("workload", -1, 3600),
        ("agent", 0, 3600),
        ("server", 0, 3600),
    ],
)
def test_lifetimes_are_the_orders_or_the_default_up_to_the_cap(
    kind: str, wanted: int, seconds: int
) -> None:
    assert LIVES.of_x509(kind, wanted) == seconds


def test_agents_may_have_a_lifetime_of_their_own() -> None:
    lives = Lifetimes(agent=1800, longest_x509=7200, longest_jwt=600)
    assert (lives.of_x509("agent", 0), lives.of_x509("workload", 0)) == (1800, 3600)


def test_tokens_have_their_own_default_and_cap() -> None:
    assert [LIVES.of_jwt(wanted) for wanted in (0, 60, 6000)] == [300, 60, 600]
