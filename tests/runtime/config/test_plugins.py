from typing import ClassVar

import pytest

from finial.runtime.config import (
    PluginKind,
    Reader,
    Section,
    Unserved,
    only,
    parse_document,
    read_plugins,
)
from finial.runtime.config.fields import FilledText


class Disk(Section):
    """A plugin with one setting."""

    unserved: ClassVar = {"sealed": Unserved("wait")}
    path: FilledText


class Memory(Section):
    """A plugin with none."""


KINDS = {
    "KeyManager": PluginKind(
        {"disk": Disk, "memory": Memory}, {"aws_kms": "use disk"}, least=1, most=1
    ),
    "Attestor": PluginKind(
        {"memory": Memory}, {"k8s": "use memory"}, least=1, installed=lambda: ("memory", "mine")
    ),
    "Upstream": PluginKind({"memory": Memory}, {}, most=1),
}
KEYS = 'KeyManager "disk" { plugin_data { path = "/k" } }'
ATTESTOR = 'Attestor "memory" {}'


def read(text: str) -> tuple[dict[str, dict[str, Section]], list[str]]:
    document = parse_document(text, "f")
    reader = Reader()
    found = read_plugins(reader, document.child("plugins"), KINDS, document.root.mark)
    return found, [str(each) for each in reader.problems]


def test_plugins_are_read_by_kind_and_name_with_their_data() -> None:
    found, problems = read(f"plugins {{ {KEYS}\n {ATTESTOR} }}")
    assert not problems
    assert only(found["KeyManager"], Disk, Memory) == Disk(path="/k")
    assert found["Attestor"] == {"memory": Memory()}
    assert found["Upstream"] == {}


def test_a_disabled_plugin_is_as_if_it_were_not_there() -> None:
    off = 'KeyManager "aws_kms" { enabled = false, plugin_cmd = "" }'
    found, problems = read(f"plugins {{ {KEYS}\n {off}\n {ATTESTOR} }}")
    assert not problems
    assert list(found["KeyManager"]) == ["disk"]


def test_the_data_of_a_foreign_plugin_is_handed_on_as_it_is() -> None:
    mine = 'Attestor "mine" { plugin_data { depth = 3, inner { a = ["b"] } } }'
    found, problems = read(f"plugins {{ {KEYS}\n {mine} }}")
    assert not problems
    assert found["Attestor"]["mine"].model_dump() == {"depth": 3, "inner": {"a": ["b"]}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'KeyManager "disc" {}',
            "f:2:13: plugins.KeyManager.disc: unknown plugin; did you mean disk?",
        ),
        (
            'KeyManager "aws_kms" {}',
            "f:2:13: plugins.KeyManager.aws_kms: is not served by Finial; use disk",
        ),
        (
            'KeyManager "memory" { plugin_cmd = "/bin/x" }',
            (
                "f:2:24: plugins.KeyManager.memory.plugin_cmd: is not served by Finial; "
                "external plugins do not run here; use a built-in one"
            ),
        ),
        (
            'KeyManager "memory" { plugin_data_file = "/x" }',
            (
                "f:2:24: plugins.KeyManager.memory.plugin_data_file: is not served by Finial; "
                "move its content into plugin_data { … }"
            ),
        ),
        (
            'KeyManager "memory" { plugin_dat {} }',
            "f:2:24: plugins.KeyManager.memory.plugin_dat: unknown key; did you mean plugin_data?",
        ),
        (
            'KeyManager "disk" { plugin_data { path = "/k", sealed = true } }',
            "f:2:49: plugins.KeyManager.disk.plugin_data.sealed: is not served by Finial; wait",
        ),
        (
            'KeyManager "disk" {}',
            (
                "f:2:13: plugins.KeyManager.disk.plugin_data.path: path must be configured; "
                "add path to this section"
            ),
        ),
        (
            'KeyManager = "disk"',
            "f:2:2: plugins.KeyManager: must be a section; write KeyManager { … }",
        ),
        (
            'KeyManager "disk" "x" { path = 1 }',
            "f:2:20: plugins.KeyManager.disk.x: unknown key; remove it",
        ),
    ],
)
def test_a_wrong_plugin_is_named_with_its_place_and_the_way_out(text: str, problem: str) -> None:
    _, problems = read(f"plugins {{ {ATTESTOR}\n {text} }}")
    assert problem in problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f"plugins {{ {ATTESTOR} }}",
            (
                "f:1:1: plugins.KeyManager: constraint not satisfied: "
                "expected exactly 1 but got 0; "
                "configure one of: disk or memory"
            ),
        ),
        (
            f'plugins {{ {ATTESTOR}\n {KEYS}\n KeyManager "memory" {{}} }}',
            (
                "f:1:1: plugins.KeyManager: constraint not satisfied: "
                "expected exactly 1 but got 2; "
                "configure one of: disk or memory"
            ),
        ),
        (
            f"plugins {{ {KEYS} }}",
            (
                "f:1:1: plugins.Attestor: constraint not satisfied: expected at least 1 but got 0; "
                "configure one of: memory"
            ),
        ),
        (
            f'plugins {{ {ATTESTOR}\n {KEYS}\n Upstream "memory" {{}}\n Upstream "x" {{}} }}',
            (
                "f:1:1: plugins.Upstream: constraint not satisfied: expected at most 1 but got 2; "
                "configure one of: memory"
            ),
        ),
        (
            f'plugins {{ {KEYS}\n {ATTESTOR}\n Attestor "memory" {{}} }}',
            "f:3:11: plugins.Attestor.memory: is configured twice; keep one",
        ),
        (
            f"plugins {{ {KEYS}\n {ATTESTOR}\n Atestor {{}} }}",
            "f:3:2: plugins.Atestor: unknown kind of plugin; did you mean Attestor?",
        ),
    ],
)
def test_a_wrong_number_of_plugins_is_told_in_spires_words(text: str, problem: str) -> None:
    _, problems = read(text)
    assert problems == [problem] or problem in problems


def test_without_the_section_every_missing_plugin_is_named() -> None:
    _, problems = read("")
    assert [each.split(":")[3].strip() for each in problems] == [
        "plugins.KeyManager",
        "plugins.Attestor",
    ]
