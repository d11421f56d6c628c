"""What importing the service drags in: asked of a fresh process, since import contracts do not look into packages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "transformers", "datasets", "sklearn", "pandas", "onnx", "scipy"}


def modules_after(code: str, root: Path) -> set[str]:
    """Top-level modules that a fresh process holds after running `code`."""
    report = "import sys, json; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], cwd=root, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module",
    ["serving.serve", "serving.app", "serving.batch.command", "serving.extraction.isolated", "serving.keys", "labels.cli"],
)
def test_no_training_stack_on_the_serving_path(module: str, root: Path) -> None:
    """Serving and labels never import what only training needs."""
    assert set() == modules_after(f"import {module}", root) & HEAVY


def test_onnxruntime_sends_and_stores_nothing(root: Path, tmp_path: Path) -> None:
    """Telemetry is off before the library is imported: it writes no device id into the home folder."""
    code = "import os, serving.classifier; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_check_would_see_torch(root: Path) -> None:
    """The check above is not blind: a module that is imported is found."""
    assert "sqlite3" in modules_after("import sqlite3", root)


def test_labels_need_the_standard_library_only(root: Path) -> None:
    """Annotating needs nothing installed."""
    loaded = modules_after("import labels.cli", root)
    assert set() == loaded & {"numpy", "pydantic", "fastapi", "tokenizers", "onnxruntime", "rich"}


def test_help_imports_nothing_of_weight(root: Path) -> None:
    """`tagger --help` resolves no subcommand: it stays instant however many there are."""
    code = "import sys; sys.argv = ['tagger', '--help']\nfrom serving.cli import main\nmain()"
    assert set() == modules_after(code, root) & {"numpy", "pydantic", "onnxruntime", "fastapi", *HEAVY}
