"""Runs a bundle: scores passages over HTTP, in batch and in process. Never imports the training stack."""

import os

# The one side effect of an import here: onnxruntime decides about telemetry, and writes a device id to disk, while it is
# imported itself. Who wants it says so by setting the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
