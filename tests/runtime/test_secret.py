import copy
import json
import pickle

import pytest

from finial.runtime.secret import Secret


def test_a_secret_prints_as_redacted_in_every_way() -> None:
    secret = Secret("hunter2")
    printed = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        f"{secret!r}",
        f"{[secret]}",
    ]
    assert not any("hunter2" in text for text in printed)
    assert all("<redacted>" in text for text in printed)


def test_a_secret_leaves_by_reveal_only() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert not hasattr(secret, "__dict__")


def test_secrets_compare_by_value_and_copy_as_themselves() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
    secret = Secret("a")
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
