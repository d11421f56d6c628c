"""Bundles: what is written is read back, and whatever is wrong with one is a clear error that names it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.bundle import FILES, BundleError, read_bundle, write_bundle
from serving.classifier import Classifier


@pytest.fixture
def copy(quick_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the quick bundle, to be spoilt; its name says nothing of what is in it."""
    return Path(shutil.copytree(quick_bundle, tmp_path / "copy"))


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def test_a_bundle_is_named_by_its_content(quick_bundle: Path, copy: Path, tmp_path: Path) -> None:
    """Written again it has the same name and hash; a whole bundle under that name is replaced by its equal."""
    manifest = read_bundle(copy)
    for _ in range(2):
        source = Path(shutil.copytree(copy, tmp_path / "source"))
        (source / "manifest.json").unlink()
        models = tmp_path / "models"
        models.mkdir(exist_ok=True)
        written = write_bundle(models, source, manifest)
        assert quick_bundle.name == written.name
        assert manifest.sha256 == read_bundle(written).sha256
        assert not source.exists()


def test_other_tools_find_the_tags(copy: Path) -> None:
    """config.json says multi-label and names the tags in logit order."""
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "multi_label_classification"
    assert read_bundle(copy).tags == [config["id2label"][str(index)] for index in range(4)]


def test_no_path_and_no_time_is_in_a_bundle(copy: Path) -> None:
    """A bundle says nothing of the machine or the hour that made it."""
    for name in ("manifest.json", "config.json", "model_card.md"):
        text = (copy / name).read_text(encoding="utf-8")
        assert str(Path.home()) not in text
        assert str(Path(__file__).parent.parent.parent) not in text
        assert "created" not in text


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    """An incomplete bundle is refused with the file that is missing."""
    (copy / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}: cannot be read: No such file"):
        read_bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_named(copy: Path, name: str) -> None:
    """One byte more in any file is found."""
    with (copy / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match=rf"{name}: has changed: sha256 is "):
        read_bundle(copy)


def test_a_changed_manifest_is_named(quick_bundle: Path, copy: Path) -> None:
    """A bundle that was changed under its name is refused, and made again from whole parts it is put in its place."""
    named = copy.rename(copy.parent / quick_bundle.name)
    manifest = read_bundle(named)
    _rewrite(named, lambda data: data["decisions"]["thresholds"].__setitem__(0, 0.01))
    with pytest.raises(BundleError, match=rf"manifest.json: has changed: .* is quick-[0-9a-f]+, .* named {named.name}"):
        read_bundle(named)
    source = Path(shutil.copytree(quick_bundle, copy.parent / "source"))
    assert named == write_bundle(copy.parent, source, manifest)
    assert manifest == read_bundle(named)


def test_no_bundle_at_all_says_how_to_make_one(tmp_path: Path) -> None:
    """The message names the command."""
    with pytest.raises(BundleError, match=r"none: there is no bundle; `tagger train` makes one"):
        read_bundle(tmp_path / "none")


WRONG: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda data: data.update(format=2), "format 2, this code reads 1"),
    (lambda data: data.pop("tags"), r"missing \['tags'\], unknown \[\]"),
    (lambda data: data.update(colour="red"), r"missing \[\], unknown \['colour'\]"),
    (lambda data: data.update(segmenter="0"), "segmenter '0', this code has"),
    (lambda data: data.update(input_version="0"), "input_version '0', this code has"),
    (lambda data: data["decisions"].pop("offsets"), "is damaged"),
    (lambda data: data["decisions"]["offsets"].pop(), "differ in length"),
    (lambda data: data.update(canaries=[]), "there are no canaries"),
    (lambda data: data["canaries"][0].pop("text"), "is damaged"),
    (lambda data: data["canaries"][0]["scores"].pop(), "differ in length"),
    (lambda data: data.update(files=None), "is damaged: files: Input should be a valid dictionary"),
    (lambda data: data["decisions"].update(temperature=0), "temperature 0.0 is not above 0"),
    (lambda data: data["decisions"]["review"][0].pop(), "differ in length"),
    (lambda data: data["decisions"].update(temperature=float("inf")), "temperature: inf is not finite"),
    (lambda data: data["decisions"]["offsets"].__setitem__(0, float("nan")), "offsets: nan is not finite"),
    (lambda data: data["decisions"]["review"][1].__setitem__(0, float("nan")), "review: nan is not finite"),
    (lambda data: data["decisions"]["thresholds"].__setitem__(1, float("nan")), "thresholds: nan is not within 0 and 1"),
    (lambda data: data["decisions"]["thresholds"].__setitem__(1, 1.5), "thresholds: 1.5 is not within 0 and 1"),
    (lambda data: data["canaries"][0]["scores"].__setitem__(0, float("nan")), "canaries: nan is not within 0 and 1"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_manifest_is_refused(copy: Path, spoil: Callable[[dict[str, Any]], object], message: str) -> None:
    """Unknown versions and missing parts are named."""
    _rewrite(copy, spoil)
    with pytest.raises(BundleError, match=message):
        read_bundle(copy)


@pytest.mark.parametrize("body", ["{", "[]", "\ufffd{"])
def test_a_damaged_manifest_is_refused(copy: Path, body: str) -> None:
    """What is no JSON object is no manifest."""
    (copy / "manifest.json").write_text(body, encoding="utf-8")
    with pytest.raises(BundleError, match="is damaged"):
        read_bundle(copy)


def test_a_canary_scored_otherwise_is_refused(copy: Path) -> None:
    """A bundle whose stored scores are not those of its file does not load."""

    def move(data: dict[str, Any]) -> None:
        data["canaries"][3]["scores"][1] = 0.5

    _rewrite(copy, move)
    with pytest.raises(BundleError, match=r"a canary's score differs by 0\.\d+ \(allowed: 0.03\)"):
        Classifier.load(copy)


def test_a_canary_that_cannot_be_scored_is_refused(copy: Path) -> None:
    """A canary without text is a broken bundle."""
    _rewrite(copy, lambda data: data["canaries"][0].update(text=""))
    with pytest.raises(BundleError, match="a canary cannot be scored"):
        Classifier.load(copy)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_its_library_refuses_is_named(copy: Path, name: str) -> None:
    """Right hash, wrong content: the library's complaint comes as a bundle error."""
    (copy / name).write_bytes(b"rubbish")
    import hashlib

    _rewrite(copy, lambda data: data["files"].update({name: hashlib.sha256(b"rubbish").hexdigest()}))
    with pytest.raises(BundleError, match="cannot be loaded"):
        Classifier.load(copy)
