"""OpenVINO on the same weights, in bf16 as its documentation advises for throughput. usage: openvino_peer.py MODEL TOKENS.

A number a line on standard input asks for a round over so many passages; the answer is passages per second.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import openvino
from openvino import properties

core = openvino.Core()
model = core.read_model(sys.argv[1])
settings = {properties.hint.performance_mode: properties.hint.PerformanceMode.THROUGHPUT}
compiled = core.compile_model(model, "CPU", settings)
names = [entry.get_any_name() for entry in compiled.inputs]
rows = [np.array([row], dtype=np.int64) for row in json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))]
makers = {"input_ids": lambda ids: ids, "attention_mask": np.ones_like, "token_type_ids": np.zeros_like}
queue = openvino.AsyncInferQueue(compiled)
for line in sys.stdin:
    count = int(line)
    started = time.perf_counter()
    for ids in rows[:count]:
        queue.start_async({name: makers[name](ids) for name in names})
    queue.wait_all()
    print(count / (time.perf_counter() - started), flush=True)
