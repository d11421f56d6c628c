"""The engine of many machines: the same rows by Ray Data, from and to local folders or object stores (extra `ray`).

Inputs are read by tasks where there is room, passages go in blocks to actors that hold the bundle, and Parquet files come
out. What is lost with a machine is done again by another; the order is kept. Every machine must see inputs and bundle.
"""

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import ray
import ray.data
import ray.exceptions

from serving.batch.inputs import STANDARD_INPUT
from serving.batch.items import Item, items_of
from serving.batch.journal import Progress, RunError, refuse_existing
from serving.batch.outputs import documents_file, flat, schema, summaries, summary_line
from serving.batch.rows import row_of
from serving.batch.running import Run
from serving.bundle import Manifest
from serving.classifier import Classifier
from serving.extraction.isolated import DocumentReader
from serving.results import PassageIn

_DONE = "_SUCCESS"
_BLOCK = 256
"""Passages of one batch."""
_READING_CORES, _SCORING_CORES = 0.25, 0.75
"""Of a core for a task that reads or writes, and for an actor: together one, so that a single core is enough for a run."""


def outputs(output: str) -> list[Path]:
    """What of this machine a run writes, and so does not read."""
    if "://" in output:
        return []
    path = Path(output).resolve()
    return [path, _part(path), path.with_name(f"{path.stem}.documents.jsonl")]


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def scored(run: Run, manifest: Manifest, output: str, address: str | None, *, restart: bool) -> Progress:
    """Score a run's inputs into a folder of Parquet files; on this machine `restart` replaces one. Raises RunError."""
    if any(one.shown == STANDARD_INPUT for one in run.inputs):
        message = "standard input cannot be read by a cluster; name files"
        raise RunError(message)
    run = replace(run, inputs=[one if one.url else replace(one, path=one.path.resolve()) for one in run.inputs])
    files, place = fsspec.core.url_to_fs(output)
    if not output.endswith(".parquet"):
        message = f"{output}: the ray engine writes a folder of Parquet files; name it NAME.parquet"
        raise RunError(message)
    is_local = "file" in files.protocol
    if is_local:
        place = str(Path(place).resolve())  # a link is followed
        _check_replaced(Path(place), restart=restart)
    elif files.exists(place):
        message = f"{output} is there already; remove it, or name another output"
        raise RunError(message)
    part = str(_part(Path(place)))
    _join(address)
    try:
        _write(run, files, part)
    except ray.exceptions.RayError as error:
        message = f"the cluster did not finish: {str(error).splitlines()[-1]}"
        raise RunError(message) from error
    finally:
        ray.shutdown()
    if not files.exists(part) or not files.find(part):  # no row is wanted
        files.makedirs(part, exist_ok=True)
        with files.open(f"{part}/empty.parquet", "wb") as out:
            pyarrow.parquet.write_table(schema(manifest.tags).empty_table(), out)
    if is_local:
        _check_replaced(Path(place), restart=restart)  # the run may have taken hours
        _replace(Path(place), Path(part))
    else:
        files.mv(part, place, recursive=True)
    progress = _finished(files, place, manifest)
    files.touch(f"{place}/{_DONE}")  # an object store moves file by file: without this one the folder is not whole
    return progress


def _check_replaced(place: Path, *, restart: bool) -> None:
    """Raise RunError for what is there already, and with `restart` for a folder that no whole run has written."""
    if not restart:
        refuse_existing([place, documents_file(place)])
    elif place.is_dir() and (
        not (place / _DONE).exists()
        or any(one.is_dir() or (one.suffix != ".parquet" and one.name != _DONE) for one in place.iterdir())
    ):
        message = f"{place} holds other things than the ray engine writes; remove it, or name another output"
        raise RunError(message)


def _replace(place: Path, part: Path) -> None:
    """Put a folder in a place; what was there is deleted last."""
    old = place.with_name(f".{place.name}.old")
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    part.rename(place)
    if old.is_dir():
        shutil.rmtree(old)
    else:
        old.unlink(missing_ok=True)


def _write(run: Run, files: Any, part: str) -> None:
    cores = max(1, int(_resources().get("CPU", 1)))
    rows = (
        ray.data.from_items([{"input": number} for number in range(len(run.inputs))], override_num_blocks=len(run.inputs))
        .map_batches(
            _read,  # type: ignore[arg-type]  # of the batch alone, which the further arguments of `fn_args` are not
            fn_args=(run,),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=_READING_CORES,
        )
        .map_batches(
            _Score,
            fn_constructor_args=(run,),
            batch_size=_BLOCK,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=cores),
            num_cpus=_SCORING_CORES,
        )
    )
    rows.write_parquet(part, filesystem=files, mode=ray.data.SaveMode.OVERWRITE, ray_remote_args={"num_cpus": _READING_CORES})


def _resources() -> dict[str, float]:
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # of the library
    return found


def _join(address: str | None) -> None:
    """Connect to a cluster, or start one of this machine alone. Raises RunError."""
    own: dict[str, Any] = {} if address else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except ConnectionError as error:
        message = f"no Ray cluster answers at {address}: {error}"
        raise RunError(message) from error
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = sys.stderr.isatty()
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _read(batch: Any, run: Run) -> Iterator[Any]:
    """The items of one input, a block at a time."""
    [number] = batch.column("input").to_pylist()
    reader = DocumentReader()
    lines: list[str] = []
    try:
        for item in items_of(run.inputs[: number + 1], reader, run.reading, (number, 0)):
            lines.append(json.dumps(asdict(item)))
            if len(lines) == _BLOCK:
                yield pa.table({"item": lines})
                lines = []
    finally:
        reader.close()
    if lines:
        yield pa.table({"item": lines})


class _Score:
    """An actor that holds the bundle."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._classifier = Classifier.load(run.bundle, threads=1)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows of items."""
        run, manifest = self._run, self._classifier.manifest
        items = [_item(line) for line in batch.column("item").to_pylist()]
        results = iter(self._classifier.score([item.passage for item in items if item.passage], run.options))
        rows = [row_of(item, next(results) if item.passage else None, manifest.name, run.wanted) for item in items]
        kept = [flat(row, manifest.tags, joined=False) for row in rows if run.wanted.takes(row)]
        return pa.Table.from_pylist(kept, schema=schema(manifest.tags))


def _item(line: str) -> Item:
    entry = json.loads(line)
    passage = entry.pop("passage")
    return Item(**entry, passage=PassageIn(**passage) if passage else None)


def _finished(files: Any, place: str, manifest: Manifest) -> Progress:
    """Write the summaries of the documents beside the output, of the rows that are in it, and count."""
    table = pyarrow.dataset.dataset(sorted(files.find(place)), filesystem=files, format="parquet")
    progress = Progress(complete=True)

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal progress
        for batch in table.to_batches(columns=["document", "tags", "review", "error_code", "error_detail"]):
            for row in batch.to_pylist():
                if row["error_code"]:
                    row["error"] = {"code": row["error_code"], "detail": row["error_detail"]}
                progress = replace(
                    progress, rows=progress.rows + 1, passages=progress.passages + 1, failed=progress.failed + ("error" in row)
                )
                yield row

    with files.open(f"{place.removesuffix('.parquet')}.documents.jsonl", "w", encoding="utf-8") as out:
        for one in summaries(rows(), manifest.tags):
            out.write(summary_line(one))
    return progress
