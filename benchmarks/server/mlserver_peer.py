"""MLServer with a runtime of its own and adaptive batching, as its guide sets it up. usage: mlserver start FOLDER."""

import json

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from model import Model


class Scores(MLModel):
    """Texts in, scores out."""

    async def load(self) -> bool:
        """Load the model in the worker."""
        self.model = Model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The server joins the texts of several requests."""
        scores = [json.dumps(one) for one in self.model.score(StringCodec.decode_input(payload.inputs[0]))]
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("scores", scores)])
