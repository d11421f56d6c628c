"""Mosec with dynamic batching, as its guide sets it up; a request holds a list of texts. usage: mosec_peer.py --port PORT."""

import os

from model import TUNED, Model
from mosec import Server, Worker


class Scores(Worker):
    """Texts in, scores out."""

    def __init__(self) -> None:
        """Load the model in the worker."""
        super().__init__()
        self.model = Model()

    def forward(self, data: list | dict) -> list | dict:
        """All texts of all requests at once."""
        requests = data if isinstance(data, list) else [data]
        scored = iter(self.model.score([text for request in requests for text in request["texts"]]))
        answers = [{"scores": [next(scored) for _ in request["texts"]]} for request in requests]
        return answers if isinstance(data, list) else answers[0]


if __name__ == "__main__":
    server = Server()
    if TUNED:
        server.append_worker(Scores, num=os.cpu_count() or 1)
    else:
        server.append_worker(Scores, num=1, max_batch_size=16, max_wait_time=2)
    server.run()
