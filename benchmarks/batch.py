"""How fast `tagger score` is beside its own engine, with one thread and two, on Ray, and beside the transformers pipeline.

    make bench-batch            full run: 200,000 rows; writes benchmarks/results/batch.json and the table in README.md
    make bench-batch QUICK=1    a few thousand rows, changes nothing

The rows are the passages of the seeds over and over. Contenders take turns, medians are quoted; memory is the resident
set of the run's processes, looked at twice a second.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import ray
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.pipelines.pt_utils import KeyDataset

from benchmarks.passages import seed_passages
from benchmarks.results import finish, quick_bundle
from benchmarks.server.processes import tree_memory_mb
from serving.classifier import Classifier
from serving.results import PassageIn
from training.base_model import find_base_model

_BATCH = 32


def main(arguments: list[str]) -> int:
    """Measure, print the table, and end with the line RESULT {json}."""
    parser = argparse.ArgumentParser(prog="bench-batch")
    parser.add_argument("--quick", action="store_true", help="few rows; changes no tracked file")
    quick = parser.parse_args(arguments).quick
    bundle = quick_bundle()
    passages = [PassageIn(text=passage.text, context=passage.context) for passage in seed_passages()]
    rounds, short, long = (1, 1_500, 4_000) if quick else (2, 6_000, 200_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = (_written(folder / f"{count}.jsonl", passages, count) for count in (short, long))
        contenders: dict[str, Callable[[], float]] = {
            "the engine alone": lambda: _engine(bundle, passages, short // 2),
            "tagger score": lambda: _score(bundle, small, folder),
            "tagger score, one thread": lambda: _score(bundle, small, folder, "--threads", "1"),
            "tagger score on Ray, this machine": lambda: _score(bundle, small, folder, "--engine", "ray"),
            "transformers pipeline over datasets": lambda: _pipeline(passages, 200 if quick else 584),
            "transformers pipeline on Ray Data": lambda: _ray_pipeline(passages, 200 if quick else 584),
        }
        rates: dict[str, list[float]] = {one: [] for one in contenders}
        for number in range(rounds):
            for one, run in contenders.items():
                rates[one].append(run())
                print(f"round {number + 1}: {one}: {rates[one][-1]:.0f}/s", file=sys.stderr, flush=True)
        before = _engine(bundle, passages, short // 2)
        memory: list[float] = []
        whole = _score(bundle, large, folder, memory=memory)
        after = _engine(bundle, passages, short // 2)
    medians = {one: statistics.median(found) for one, found in rates.items()}
    return finish("batch", *_told(medians, whole, (before + after) / 2, memory, long), quick=quick)


def _written(path: Path, passages: Sequence[PassageIn], count: int) -> Path:
    with path.open("w", encoding="utf-8") as out:
        for number, passage in enumerate(islice(cycle(passages), count)):
            out.write(json.dumps({"id": number, "text": passage.text, "context": passage.context}) + "\n")
    return path


def _engine(bundle: Path, passages: Sequence[PassageIn], count: int) -> float:
    classifier = Classifier.load(bundle)
    chosen = list(islice(cycle(passages), count))
    started = time.perf_counter()
    classifier.score(chosen)
    rate = count / (time.perf_counter() - started)
    classifier.close()
    return rate


def _score(bundle: Path, rows: Path, folder: Path, *options: str, memory: list[float] | None = None) -> float:
    """Rows a second of the command, its start included."""
    out = folder / ("out.parquet" if "ray" in options else "out.jsonl")
    subprocess.run(["rm", "-rf", str(out)], check=True)  # noqa: S607 - a folder or a file
    command = [sys.executable, "-m", "serving.cli", "score", str(rows), "-o", str(out), "--restart", "--json"]
    process = subprocess.Popen([*command, "--bundle", str(bundle), *options], stdout=subprocess.PIPE, text=True)
    stopped = threading.Event()

    def look() -> None:
        while memory is not None and not stopped.wait(0.5):
            memory.append(tree_memory_mb(process.pid))

    watch = threading.Thread(target=look)
    watch.start()
    said, _ = process.communicate()
    stopped.set()
    watch.join()
    found = json.loads(said.splitlines()[-1])
    assert process.returncode == 0, said
    return float(found["rows"] / found["seconds"])


def _classifier() -> Any:
    base = find_base_model()
    network = AutoModelForSequenceClassification.from_pretrained(base.source, num_labels=4).eval()
    tokenizer = AutoTokenizer.from_pretrained(base.source)
    return pipeline("text-classification", model=network, tokenizer=tokenizer, top_k=None, device="cpu")


def _texts(passages: Sequence[PassageIn], count: int) -> list[dict[str, str]]:
    return [{"text": f"{passage.context} {passage.text}".strip()} for passage in islice(cycle(passages), count)]


def _pipeline(passages: Sequence[PassageIn], count: int) -> float:
    piped, rows = _classifier(), Dataset.from_list(_texts(passages, count))
    started = time.perf_counter()
    for _ in piped(KeyDataset(rows, "text"), batch_size=_BATCH, truncation=True, max_length=384):
        pass
    return count / (time.perf_counter() - started)


class _Piped:
    def __init__(self) -> None:
        self._piped = _classifier()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        found = self._piped(list(batch["text"]), batch_size=_BATCH, truncation=True, max_length=384)
        return {"scores": [json.dumps(one) for one in found]}


def _ray_pipeline(passages: Sequence[PassageIn], count: int) -> float:
    ray.init(include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    try:
        rows = ray.data.from_items(_texts(passages, count), override_num_blocks=4)
        started = time.perf_counter()
        rows.map_batches(_Piped, batch_size=_BATCH, compute=ray.data.ActorPoolStrategy(size=1), num_cpus=1).materialize()
        return count / (time.perf_counter() - started)
    finally:
        ray.shutdown()


def _told(
    medians: dict[str, float], whole: float, engine: float, memory: Sequence[float], rows: int
) -> tuple[str, dict[str, Any]]:
    ours = medians["tagger score"]
    settled = memory[len(memory) // 10 :] or [0.0]
    half = len(settled) // 2 or 1
    growth = statistics.median(settled[half:] or settled) - statistics.median(settled[:half])
    result = {
        "engine_share": round(whole / engine, 3),
        "thread_ratio": round(ours / medians["tagger score, one thread"], 2),
        "pipeline_ratio": round(ours / medians["transformers pipeline over datasets"], 2),
        "ray_pipeline_ratio": round(ours / medians["transformers pipeline on Ray Data"], 2),
        "rows": rows,
        "rows_per_s": round(whole, 1),
        "memory_mb": round(statistics.median(settled)),
        "memory_growth_mb": round(growth, 1),
        "medians": {one: round(rate, 1) for one, rate in medians.items()},
    }
    lines = ["| | rows/s | `tagger score` is faster by |", "| --- | --- | --- |"]
    lines += [f"| {one} | {rate:.0f} | {ours / rate:.1f} |" for one, rate in medians.items()]
    lines += [
        "",
        (
            f"A run of {rows:,} rows: {whole:.0f} rows/s, {whole / engine:.2f} of the engine's rate before and after it; "
            f"memory {result['memory_mb']} MB, {growth:+.0f} MB from its first half to its second."
        ),
    ]
    return "\n".join(lines), result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
