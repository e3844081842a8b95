"""What is installed: one namespace, its programs, and nothing else."""

import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ROOTS = ("proto", "core", "server", "agent", "attestors")
BUILT_FROM = (*ROOTS, "pyproject.toml", "README.md", "LICENSE")


@pytest.mark.parametrize("root", ROOTS)
def test_the_namespace_has_no_init_module(root: str) -> None:
    """One in any root would hide the other roots from the editable install."""
    assert not (REPOSITORY / root / "__init__.py").exists()
    assert not (REPOSITORY / root / "finial" / "__init__.py").exists()


@pytest.mark.parametrize("root", ROOTS[1:])
def test_every_package_below_the_namespace_says_what_belongs_in_it(root: str) -> None:
    for folder in (REPOSITORY / root / "finial").rglob("*"):
        if folder.is_dir() and any(folder.glob("*.py")):
            init = folder / "__init__.py"
            assert init.exists(), f"{folder} has no __init__.py"
            assert init.read_text().lstrip().startswith('"""'), f"{init} has no docstring"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with an sdist, and with the wheel that was built from it."""
    pytest.importorskip("build", reason="run `pip install -e .[dev]` for the build front end")
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:  # a copy: a build must leave nothing in the repository
        subprocess.run(["cp", "-r", REPOSITORY / name, source / name], check=True)
    out = tmp_path_factory.mktemp("dist")
    outcome = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", out, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return out


@pytest.mark.timeout(600)
def test_the_wheel_holds_the_namespace_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"finial"}
    assert "finial/__init__.py" not in names
    for module in (
        "finial/spiffe/spiffe_id.py",
        "finial/server/cli/main.py",
        "finial/agent/cli/main.py",
        "finial/cli/main.py",
        "finial/attestors/selector.py",
        "finial/api/workload/workload_pb2_grpc.py",
    ):
        assert module in names


@pytest.mark.timeout(600)
def test_every_module_of_the_source_is_in_the_wheel(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for root in ROOTS:
        for module in (REPOSITORY / root / "finial").rglob("*.py"):
            assert module.relative_to(REPOSITORY / root).as_posix() in names


@pytest.mark.timeout(600)
def test_the_wheel_brings_the_three_programs_and_their_entry_points(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        declared = ConfigParser()
        declared.read_string(archive.read(name).decode())
    assert set(declared["console_scripts"]) == {"finial", "finial-server", "finial-agent"}
    assert set(declared["finial.commands"]) == {"server", "agent"}


@pytest.mark.timeout(600)
def test_the_sdist_holds_no_virtual_environment_and_no_state(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        parts = {part for name in archive.getnames() for part in name.split("/")}
    assert not parts & {".venv", ".finial", "__pycache__", ".git"}
