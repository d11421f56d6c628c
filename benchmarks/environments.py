"""Peers' environments: one a set of packages, built once under the state folder, never ours."""

import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from serving.settings import load_settings


def environment(packages: Sequence[str], what: str) -> Path:
    """The `bin` folder of an environment with these packages, built when it is missing."""
    folder = load_settings().state / "peers" / f"venv-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:8]}"
    stamp = folder / "built"
    if not stamp.exists():
        print(f"building the environment of {what} …", file=sys.stderr, flush=True)
        venv.EnvBuilder(with_pip=True, clear=True).create(folder)
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *packages], check=True)
        stamp.touch()
    return folder.resolve() / "bin"
