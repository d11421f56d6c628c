"""The servers that are compared: how each is installed, started and asked. All serve the same model file."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_ENGINE = ("onnxruntime==1.31.1", "tokenizers", "numpy")
"""What `model.py` needs in a peer's environment."""
Body = Callable[[Sequence[str]], dict[str, Any]]
Scores = Callable[[Any], list[dict[str, float]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contender:
    """One server in one way of setting it up."""

    name: str
    mode: str
    """`documented` or `tuned`; ours is `ours`."""
    packages: tuple[str, ...]
    """Of its own environment; () is this one."""
    command: Callable[[Path, Path, int], list[str]]
    """From the environment's `bin`, the model's folder and the port."""
    path: str
    body: Body
    """The request that asks for these texts."""
    scores: Scores
    """The scores in an answer, one a text."""
    environment: dict[str, str] = field(default_factory=dict)


def _plain(texts: Sequence[str]) -> dict[str, Any]:
    return {"texts": list(texts)}


def contenders() -> list[Contender]:
    """Ours, then each peer as documented and as tuned."""
    ours = Contender(
        name="this service",
        mode="ours",
        packages=(),
        command=lambda _, model, port: [
            *(sys.executable, "-m", "serving.cli", "serve", "--bundle", str(model), "--port", str(port))
        ],
        path="/v1/tag",
        body=lambda texts: {"passages": [{"text": text} for text in texts]},
        scores=lambda answer: [result["scores"] for result in answer["results"]],
    )
    return [
        ours,
        *(make(mode) for make in (_infinity, _litserve, _mosec, _bentoml, _mlserver) for mode in ("documented", "tuned")),
    ]


def _infinity(mode: str) -> Contender:
    def command(folder: Path, model: Path, port: int) -> list[str]:
        batch = ["--batch-size", "1"] if mode == "tuned" else []
        # An absolute folder is not found by the optimum that it asks for, so it is started inside of it.
        start = ["env", "-C", str(model), str(folder / "infinity_emb"), "v2", "--model-id", ".", "--served-model-name", "clf"]
        return [
            *(*start, "--engine", "optimum", "--device", "cpu", "--port", str(port)),
            *("--no-bettertransformer", "--no-model-warmup", *batch),
        ]

    return Contender(
        name="infinity-emb",
        mode=mode,
        packages=(*("infinity-emb[server,optimum]==0.0.78", "transformers==4.57.6", "torch==2.13.0", "onnxruntime==1.31.1"),),
        command=command,
        path="/classify",
        body=lambda texts: {"model": "clf", "input": list(texts), "raw_scores": False},
        scores=lambda answer: [{one["label"]: one["score"] for one in row} for row in answer["data"]],
        environment={"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"},
    )


def _litserve(mode: str) -> Contender:
    return Contender(
        name="LitServe",
        mode=mode,
        packages=("litserve==0.2.19", *_ENGINE),
        command=lambda folder, _, port: [str(folder / "python"), str(HERE / "litserve_peer.py"), str(port)],
        path="/predict",
        body=_plain,
        scores=lambda answer: answer["scores"],
    )


def _mosec(mode: str) -> Contender:
    return Contender(
        name="mosec",
        mode=mode,
        packages=("mosec==0.9.8", *_ENGINE),
        command=lambda folder, _, port: [
            str(folder / "python"),
            str(HERE / "mosec_peer.py"),
            "--port",
            str(port),
            "--timeout",
            "60000",
        ],
        path="/inference",
        body=_plain,
        scores=lambda answer: answer["scores"],
    )


def _bentoml(mode: str) -> Contender:
    return Contender(
        name="BentoML",
        mode=mode,
        packages=("bentoml==1.4.39", *_ENGINE),
        command=lambda folder, _, port: [
            *(str(folder / "bentoml"), "serve", "bentoml_peer:Scores", "--port", str(port), "--working-dir", str(HERE))
        ],
        path="/classify",
        body=_plain,
        scores=lambda answer: answer,
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    )


def _mlserver(mode: str) -> Contender:
    def command(folder: Path, model: Path, port: int) -> list[str]:
        place = model.parent / f"mlserver-{mode}"
        place.mkdir(exist_ok=True)
        batching = {} if mode == "tuned" else {"max_batch_size": 16, "max_batch_time": 0.002}
        entry = {"name": "clf", "implementation": "mlserver_peer.Scores", **batching}
        (place / "model-settings.json").write_text(json.dumps(entry), encoding="utf-8")
        workers = os.cpu_count() if mode == "tuned" else 1
        server = {
            "http_port": port,
            "grpc_port": port + 1,
            "metrics_port": port + 2,
            "parallel_workers": workers,
            "debug": False,
        }
        (place / "settings.json").write_text(json.dumps({"host": "127.0.0.1", **server}), encoding="utf-8")
        return [str(folder / "mlserver"), "start", str(place)]

    return Contender(
        name="MLServer",
        mode=mode,
        packages=("mlserver==1.7.1", "uvloop==0.21.0", *_ENGINE),  # it asks for an event loop that uvloop 0.22 no longer makes
        command=command,
        path="/v2/models/clf/infer",
        body=lambda texts: {"inputs": [{"name": "texts", "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}]},
        scores=lambda answer: [json.loads(one) for one in answer["outputs"][0]["data"]],
        environment={"PYTHONPATH": str(HERE)},
    )
