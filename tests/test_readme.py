"""README.md is run: its commands against a real server, its Python as it stands, its claims against the tree."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.cli import _COMMANDS, main
from serving.settings import Settings
from tests.conftest import Running

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(root: Path, language: str) -> list[str]:
    """Code blocks of a language, in order."""
    return [body for found, body in BLOCK.findall((root / "README.md").read_text(encoding="utf-8")) if found == language]


@pytest.fixture(scope="module")
def port(quick_bundle: Path, tmp_path_factory: pytest.TempPathFactory, running: Running) -> Iterator[int]:
    """A server on a free port, for the length of this module."""
    with running(Settings(state=tmp_path_factory.mktemp("state"), bundle=quick_bundle)) as address:
        yield int(address.rsplit(":", 1)[1])


def test_shell_blocks_run(root: Path, quick_bundle: Path, port: int, tmp_path: Path) -> None:
    """Every block that needs no container: `make` as a dry run, the rest for real, with errors as errors."""
    for block in blocks(root, "bash"):
        if "docker" in block:
            continue
        script = block.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("curl -s", "curl -sf")
        script = script.replace("/tmp/", f"{tmp_path}/")  # noqa: S108 - README's own path
        script = script.replace(".venv/bin/tagger", f"{sys.executable} -m serving.cli")
        script = re.sub(r"^make ", "make -n ", script, flags=re.MULTILINE)
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TAGGER_BUNDLE": str(quick_bundle),
            "TAGGER_STATE": str(tmp_path),
        }
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (block, done.stderr)
        if "/v1/tag " in block:
            assert '"id": "a", "tags": ["advocacy_call"' in done.stdout


def test_python_blocks_run(root: Path, quick_bundle: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """As they stand, with the bundle and the server of the tests."""
    for block in blocks(root, "python"):
        ready = block.replace("champion_path(Settings())", f"champion_path(Settings(bundle={str(quick_bundle)!r}))").replace(
            "127.0.0.1:8000", f"127.0.0.1:{port}"
        )
        exec(ready, {})  # noqa: S102 - running it is the test
    printed = capsys.readouterr().out
    assert "historical_case" in printed
    assert "\n199 [" in printed


def test_docker_blocks_name_stages_that_exist(root: Path) -> None:
    """Targets of the container commands are stages of the Dockerfile."""
    [block] = [block for block in blocks(root, "bash") if "docker" in block]
    dockerfile = (root / "Dockerfile").read_text(encoding="utf-8")
    for stage in re.findall(r"--target (\w+)", block):
        assert re.search(rf"^FROM .* AS {stage}$", dockerfile, re.MULTILINE)


def test_every_setting_is_in_the_readme(root: Path) -> None:
    """A setting that is not written down does not exist."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"TAGGER_{name.upper()}" not in readme] == []


def test_the_tree_in_the_readme_is_the_tree(root: Path) -> None:
    """Folders that it names exist, and each package of the project is named."""
    tree = next(block for block in blocks(root, "") if block.startswith("seeds/"))
    named = re.findall(r"^(\w+)/", tree, re.MULTILINE)
    assert {"seeds", "labels", "training", "serving", "tests", "benchmarks", "state"} == set(named)
    assert all((root / name).is_dir() for name in named)


def test_every_command_has_a_help_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`tagger COMMAND --help` works for each."""
    for name in _COMMANDS:
        monkeypatch.setattr(sys, "argv", ["tagger", name, "--help"])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
        assert capsys.readouterr().out.startswith(f"usage: tagger {name}")


def test_nothing_names_a_machine_or_a_registry(root: Path) -> None:
    """Tracked text files carry no path of a machine and no registry's host."""
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")  # noqa: S607 - git is the one on the path
    banned = re.compile(r"/work[/]|/root[/]|pypi[.]org|pythonhosted[.]org")
    for name in filter(None, listed):
        if not name.startswith(("seeds/", "labels/gold", "labels/annotations", "training/evaluation")):
            assert not banned.search((root / name).read_text(encoding="utf-8")), name
