"""BentoML with adaptive batching, as its guide sets it up. usage: bentoml serve bentoml_peer:Scores --port PORT."""

import os

import bentoml
from model import TUNED, Model

SETTINGS = {"traffic": {"timeout": 60, "max_concurrency": 512}} | ({"workers": os.cpu_count()} if TUNED else {})


@bentoml.service(**SETTINGS)
class Scores:
    """Texts in, scores out."""

    def __init__(self) -> None:
        """Load the model in the worker."""
        self.model = Model()

    @bentoml.api(batchable=not TUNED, max_batch_size=32, max_latency_ms=1000)
    def classify(self, texts: list[str]) -> list[dict[str, float]]:
        """The server joins the texts of several requests."""
        return self.model.score(texts)
