from finial.agent.cache.tokens import HeldToken, TokenShelf, token_key
from finial.spiffe.spiffe_id import SpiffeId

ID = SpiffeId("spiffe://example.org/w")


def held(expires_at: float = 300.0, key_id: str = "k1", issued_at: float = 0.0) -> HeldToken:
    return HeldToken("header.claims.signature", ID, issued_at, expires_at, key_id)


def test_the_order_of_the_audience_is_no_matter() -> None:
    assert token_key(ID, ["a", "b"]) == token_key(ID, ["b", "a"])


def test_requests_that_differ_never_share_a_key() -> None:
    other = SpiffeId("spiffe://example.org/x")
    keys = {
        token_key(ID, ["a"]),
        token_key(other, ["a"]),
        token_key(ID, ["a", "b"]),
        token_key(ID, ["a\0b"]),
        token_key(ID, ["ab"]),
        token_key(ID, ["a\x001\x00b"]),
        token_key(ID, []),
    }
    assert len(keys) == 7


def test_an_expired_token_is_never_handed_out() -> None:
    shelf = TokenShelf()
    shelf.put(b"k", held(300))
    assert shelf.get(b"k", 299.9) is not None
    assert shelf.get(b"k", 300.0) is None
    assert len(shelf) == 0


def test_half_a_life_wants_a_refresh_and_the_last_tenth_a_wait() -> None:
    token = held(expires_at=300)
    assert not token.wants_refresh(149)
    assert token.wants_refresh(150)
    assert not token.nearly_expired(269)
    assert token.nearly_expired(270)


def test_the_least_recently_used_goes_beyond_the_limit() -> None:
    shelf = TokenShelf(limit=2)
    shelf.put(b"a", held())
    shelf.put(b"b", held())
    shelf.get(b"a", 1.0)
    shelf.put(b"c", held())
    assert shelf.get(b"b", 1.0) is None
    assert shelf.get(b"a", 1.0) is not None
    assert shelf.get(b"c", 1.0) is not None


def test_tokens_by_a_tainted_key_are_dropped() -> None:
    shelf = TokenShelf()
    shelf.put(b"a", held(key_id="good"))
    shelf.put(b"b", held(key_id="bad"))
    assert shelf.drop_signed_by(frozenset({"bad"})) == 1
    assert shelf.get(b"a", 1.0) is not None
    assert shelf.get(b"b", 1.0) is None


def test_a_token_does_not_show_in_its_text() -> None:
    assert "signature" not in repr(held())
    assert "signature" not in str(held())
