"""A server's times alone, and beside a training run on the same machine."""

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.endurance.caller import Caller
from benchmarks.passages import seed_passages
from benchmarks.results import quick_bundle
from benchmarks.retraining.serving import server
from serving.registry import Registry
from serving.settings import Settings, load_settings
from tests.bundles import variants

_MOST_SLOWER = 2.0
"""Of the p99 alone: a training run that does not give way makes it several times as long, on two cores."""


async def beside(state: Path, port: int, seconds: float) -> dict[str, Any]:
    """Times of a lone passage, one caller, alone and beside `tagger retrain`, in turns."""
    Registry.open(Settings(state=state)).promote(variants(quick_bundle(), state / "models", 1)[0], why="first")
    (state / "encoders").symlink_to((load_settings().state / "encoders").resolve())
    texts = [passage.text for passage in seed_passages()]
    times: dict[str, list[float]] = {"alone": [], "beside": []}
    with server(state, port):
        for number in range(6):
            name = ("alone", "beside")[number % 2]
            training = _training(state) if name == "beside" else None
            caller = Caller(port)  # a connection that is idle while the training starts is closed
            try:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    began = time.perf_counter()
                    status, _ = await caller.post(json.dumps({"text": random.choice(texts)}).encode())  # noqa: S311 - no secret
                    assert status == 200, status
                    times[name].append((time.perf_counter() - began) * 1000)
                    await asyncio.sleep(0.01)
            finally:
                await caller.leave()
                if training:
                    training.kill()
                    training.wait()
    quantiles = {name: statistics.quantiles(values, n=100) for name, values in times.items()}
    slower = quantiles["beside"][98] / quantiles["alone"][98]
    return {
        **{f"p50_{name}_ms": round(found[49], 1) for name, found in quantiles.items()},
        **{f"p99_{name}_ms": round(found[98], 1) for name, found in quantiles.items()},
        "requests": sum(map(len, times.values())),
        "p99_ratio": round(slower, 2),
        "right": slower < _MOST_SLOWER,
    }


def _training(state: Path) -> subprocess.Popen[str]:
    """A retraining that is in the middle of its first fit."""
    command = [sys.executable, "-m", "serving.cli", "retrain", "--state", str(state)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "steps, about" in line:
            break
    return process
