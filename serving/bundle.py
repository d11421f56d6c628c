"""The bundle: what training hands to serving, and the one place that knows its files.

    <name>/model.onnx  tokenizer.json  config.json  model_card.md  manifest.json

The manifest holds the sha256 of every other file, so the hash of the manifest is the hash of the bundle, and the
folder is named by it (a copy under a name of another form is taken at its manifest's word). Training writes through
`write_bundle`, serving reads through `read_bundle`.
"""

import hashlib
import json
import math
import os
import re
import shutil
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from labels.passages import SEGMENTER
from serving.model_input import INPUT_VERSION
from serving.whole import sync

FORMAT = 1
MANIFEST = "manifest.json"
FILES = ("model.onnx", "tokenizer.json", "config.json", "model_card.md")


class BundleError(Exception):
    """Raised when a bundle is missing, incomplete, damaged, or of a version that this code does not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A passage with the scores that the bundle gave it when it was made."""

    text: str
    context: str
    scores: list[float]
    """Calibrated, in tag order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """How logits become scores and tags: score = sigmoid(logit / temperature + offset), tag = score >= threshold."""

    temperature: float
    offsets: list[float]
    """Added per tag, in tag order."""
    thresholds: list[float]
    review: list[list[float]]
    """Per tag [low, high]: a score in this band is a decision that is not safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that serving must know of a bundle, and where it came from. No clock time."""

    format: int
    tags: list[str]
    """In the order of the logits."""
    titles: dict[str, str]
    definitions: dict[str, str]
    decisions: Decisions
    provisional: bool
    """True when no evaluation of this very configuration stands behind the decisions."""
    profile: str
    max_tokens: int
    segmenter: str
    codebook: str
    input_version: str
    dataset_sha256: str
    base_model: str
    base_model_sha256: str
    code_version: str
    recipe: dict[str, Any]
    recipe_sha256: str
    packages: dict[str, str]
    """Versions of the packages that shaped the weights."""
    trained_on: dict[str, int]
    """Positives per tag on the training side, and `passages`."""
    held_out: str | None
    """The document left out, for a bundle that only an evaluation uses."""
    metrics: dict[str, Any]
    """Leave-one-document-out figures of this configuration; {} when provisional."""
    parity: dict[str, float]
    """Differences between PyTorch, the fp32 graph and this file, on real passages."""
    canaries: list[Canary]
    files: dict[str, str]
    """File name -> sha256."""
    name: str = field(default="", compare=False)
    """The folder's name; not in the file."""
    sha256: str = field(default="", compare=False)
    """Of the manifest file; not in the file."""


def write_bundle(models: Path, source: Path, manifest: Manifest) -> Path:
    """Move the files of `source` into `models/<name>`, manifest last; the new folder, or the equal one already there."""
    # Read as it will be read back: 1 and 1.0 are one number, so that what is written again has the same hash.
    data = asdict(TypeAdapter(Manifest).validate_python(asdict(manifest)))
    del data["name"], data["sha256"]
    data["files"] = {name: _sha256(source / name) for name in FILES}
    body = (json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()
    target = models / f"{manifest.profile}-{hashlib.sha256(body).hexdigest()[:12]}"
    for name in FILES:
        sync(source / name)
    (source / MANIFEST).write_bytes(body)
    sync(source / MANIFEST)
    aside = source.with_name(f"{source.name}.old")
    if target.exists() and _is_whole(target):  # it may be the one that serves: left where it is
        os.utime(target / MANIFEST)
        shutil.rmtree(source)
        return target
    if target.exists():
        os.replace(target, aside)  # noqa: PTH105 - the same content by name; what stands there may be damaged
    os.replace(source, target)  # noqa: PTH105 - the atomic form, named as what it is
    sync(models)
    shutil.rmtree(aside, ignore_errors=True)
    return target


def _is_whole(folder: Path) -> bool:
    try:
        read_bundle(folder)
    except BundleError:
        return False
    return True


def read_bundle(folder: Path) -> Manifest:
    """Read and verify a bundle: complete, unchanged, of versions that this code reads. Raises BundleError."""
    path = folder / MANIFEST
    if not folder.is_dir():
        message = f"{folder}: there is no bundle; `tagger train` makes one"
        raise BundleError(message)
    try:
        body = path.read_bytes()
        manifest = _parse(path, json.loads(body))
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}; the bundle is incomplete"
        raise BundleError(message) from error
    except ValueError as error:
        message = f"{path}: is damaged: {error}"
        raise BundleError(message) from error
    manifest = replace(manifest, name=folder.resolve().name, sha256=hashlib.sha256(body).hexdigest())
    _check_versions(path, manifest)
    _check_name(path, manifest)
    _check_files(folder, manifest)
    return manifest


def _parse(path: Path, data: object) -> Manifest:
    if not isinstance(data, dict):
        message = f"{path}: is damaged: not a JSON object"
        raise BundleError(message)
    if data.get("format") != FORMAT:
        message = f"{path}: format {data.get('format')!r}, this code reads {FORMAT}"
        raise BundleError(message)
    expected = {entry.name for entry in fields(Manifest)} - {"name", "sha256"}
    if set(data) != expected:
        message = f"{path}: missing {sorted(expected - set(data))}, unknown {sorted(set(data) - expected)}"
        raise BundleError(message)
    try:
        manifest = TypeAdapter(Manifest).validate_python(data)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        message = f"{path}: is damaged: {found}"
        raise BundleError(message) from error
    _check_decisions(path, manifest)
    return manifest


def _check_decisions(path: Path, manifest: Manifest) -> None:
    decisions, tags = manifest.decisions, len(manifest.tags)
    lengths = {len(decisions.offsets), len(decisions.thresholds), len(decisions.review)}
    lengths |= {len(canary.scores) for canary in manifest.canaries}
    if lengths != {tags} or any(len(band) != len(("low", "high")) for band in decisions.review) or not manifest.canaries:
        message = f"{path}: offsets, thresholds, review, canaries and tags differ in length, or there are no canaries"
        raise BundleError(message)
    if not decisions.temperature > 0:
        message = f"{path}: temperature {decisions.temperature} is not above 0"
        raise BundleError(message)
    _check_numbers(path, manifest)


def _check_numbers(path: Path, manifest: Manifest) -> None:
    decisions = manifest.decisions
    bands = [limit for band in decisions.review for limit in band]
    finite = {"temperature": [decisions.temperature], "offsets": decisions.offsets, "review": bands}
    scores = {"thresholds": decisions.thresholds, "canaries": [score for one in manifest.canaries for score in one.scores]}
    wrong = [f"{name}: {value} is not finite" for name, row in finite.items() for value in row if not math.isfinite(value)]
    wrong += [f"{name}: {value} is not within 0 and 1" for name, row in scores.items() for value in row if not 0 <= value <= 1]
    if wrong:
        message = f"{path}: is damaged: {'; '.join(wrong)}"
        raise BundleError(message)


def _check_versions(path: Path, manifest: Manifest) -> None:
    for what, found, known in (
        ("segmenter", manifest.segmenter, SEGMENTER),
        ("input_version", manifest.input_version, INPUT_VERSION),
    ):
        if found != known:
            message = f"{path}: {what} {found!r}, this code has {known!r}; train the bundle again"
            raise BundleError(message)


def _check_name(path: Path, manifest: Manifest) -> None:
    expected = f"{manifest.profile}-{manifest.sha256[:12]}"
    if re.fullmatch(re.escape(manifest.profile) + r"-[0-9a-f]{12}", manifest.name) and manifest.name != expected:
        message = f"{path}: has changed: by its content the bundle is {expected}, its folder is named {manifest.name}"
        raise BundleError(message)


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name in FILES:
        try:
            digest = _sha256(folder / name)
        except OSError as error:
            message = f"{folder / name}: cannot be read: {error.strerror}; the bundle is incomplete"
            raise BundleError(message) from error
        if digest != manifest.files.get(name):
            message = f"{folder / name}: has changed: sha256 is {digest}, the manifest says {manifest.files.get(name)}"
            raise BundleError(message)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
