import json
import stat
from pathlib import Path

import pytest

from serving.keys import KeyRing, KeysError, create_key, main, read_keys, revoke_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the keys go."""
    return tmp_path / "state" / "keys.json"


def test_a_key_is_stored_as_a_hash_that_only_the_owner_reads(path: Path) -> None:
    """The file never holds the key, and nobody else may read it."""
    key = create_key(path, "a", ["tag"])
    assert key not in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing(path).scopes_of(key) == ["tag"]
    assert KeyRing(path).scopes_of("pt_other") is None


def test_a_ring_sees_changes_of_its_file(path: Path) -> None:
    """Rotation needs no restart: a new key counts, a revoked one no more, a removed file means none."""
    ring = KeyRing(path)
    assert ring.keys == []
    first = create_key(path, "a", ["tag"])
    assert ring.scopes_of(first) == ["tag"]
    second = create_key(path, "b", ["admin"])
    assert ring.scopes_of(second) == ["admin"]
    revoke_key(path, "a")
    assert ring.scopes_of(first) is None
    path.unlink()
    assert ring.scopes_of(second) is None


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where a folder should be."""
    (tmp_path / "state").write_text("", encoding="utf-8")
    with pytest.raises(KeysError, match=r"keys\.json: cannot be written: (File exists|Not a directory)"):
        create_key(tmp_path / "state" / "keys.json", "a", ["tag"])


def test_names_are_unique_and_known(path: Path) -> None:
    """A name taken and a name unknown are errors that say so, and change nothing."""
    create_key(path, "a", ["tag"])
    before = path.read_bytes()
    with pytest.raises(KeysError, match="a key named 'a' already"):
        create_key(path, "a", ["tag"])
    with pytest.raises(KeysError, match="needs a name"):
        create_key(path, "", ["tag"])
    with pytest.raises(KeysError, match=r"no key named 'b' \(known: a\)"):
        revoke_key(path, "b")
    assert before == path.read_bytes()


HASH = "0" * 64


@pytest.mark.parametrize("body", ["{", "{}", '""', "null"])
def test_a_damaged_file_is_refused(path: Path, body: str) -> None:
    """Damage never reads as 'no keys'."""
    path.parent.mkdir()
    path.write_text(body, encoding="utf-8")
    with pytest.raises(KeysError, match="cannot be read as keys"):
        read_keys(path)


@pytest.mark.parametrize(
    "entry",
    [
        5,
        {"name": "a"},
        {"name": "a", "sha256": None, "scopes": ["tag"]},
        {"name": "a", "sha256": HASH[1:], "scopes": ["tag"]},
        {"name": "a", "sha256": HASH, "scopes": "tag"},
        {"name": "a", "sha256": HASH, "scopes": ["all"]},
        {"name": "a", "sha256": HASH, "scopes": ["tag"], "until": "2027"},
    ],
)
def test_a_wrong_entry_is_named(path: Path, entry: object) -> None:
    """One that is not a name, a hash and known scopes is refused, whatever stands before it."""
    path.parent.mkdir()
    good = {"name": "b", "sha256": HASH, "scopes": ["tag", "label"]}
    path.write_text(json.dumps([good]), encoding="utf-8")
    assert [key.name for key in read_keys(path)] == ["b"]
    path.write_text(json.dumps([good, entry]), encoding="utf-8")
    with pytest.raises(KeysError, match=r"keys.json: cannot be read as keys: entry 2 must hold a name"):
        read_keys(path)


def test_a_file_that_cannot_be_reached_is_no_missing_one(path: Path) -> None:
    """Only 'there is no such file' means that there are no keys."""
    path.parent.write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(KeysError, match=r"cannot be read as keys: .*Not a directory"):
        _ = KeyRing(path).keys


def test_the_command(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Create prints the key once, list shows names and scopes, revoke removes, mistakes are told."""
    monkeypatch.setenv("TAGGER_STATE", str(path.parent))
    assert main(["create", "--name", "bot", "--scope", "tag", "--scope", "label"]) == 0
    key = capsys.readouterr().out.strip()
    assert KeyRing(path).scopes_of(key) == ["tag", "label"]
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "bot\ttag label\n"
    assert main(["revoke", "--name", "bot"]) == 0
    assert main(["revoke", "--name", "bot"]) == 1
    assert "there is no key named 'bot'" in capsys.readouterr().err
