"""LitServe with dynamic batching, as its guide sets it up; a request holds a list of texts. usage: litserve_peer.py PORT."""

import os
import sys

import litserve
from model import TUNED, Model


class Api(litserve.LitAPI):
    """Texts in, scores out; the server batches requests."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - as LitServe calls it
        """Load the model in the worker."""
        self.model = Model()

    def decode_request(self, request: dict) -> list[str]:
        """The texts of a request."""
        return request["texts"]

    def batch(self, inputs: list[list[str]]) -> list[list[str]]:
        """Requests stay apart."""
        return list(inputs)

    def predict(self, requests: list[list[str]]) -> list[list[dict[str, float]]]:
        """All texts of all requests at once."""
        scored = iter(self.model.score([text for texts in requests for text in texts]))
        return [[next(scored) for _ in texts] for texts in requests]

    def unbatch(self, output: list) -> list:
        """Requests stay apart."""
        return list(output)

    def encode_response(self, output: list) -> dict:
        """The scores of a request."""
        return {"scores": output}


if __name__ == "__main__":
    size = 1 if TUNED else 16
    api = Api(max_batch_size=2, batch_timeout=0.0) if TUNED else Api(max_batch_size=size, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=os.cpu_count() if TUNED else 1)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="error")
