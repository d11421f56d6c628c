"""The one way to load a model file: a session of onnxruntime with the settings it was measured with."""

from pathlib import Path

import onnxruntime


def load_session(path: Path, optimized: Path | None = None, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the CPU. Raises Exception (the library's own) when the file is damaged.

    One thread inside: scoring threads call it side by side, each with one passage. With more `threads` one passage is quicker
    and all together are slower: that is for a passage that is alone; the scores are the same to the last bit. Layer norms are
    not fused with the addition before them: the fused kernel is many times slower (training/norms.py). `optimized` is where to
    write the graph as it is run, for whoever wants to look at it.
    """
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if threads > 1:  # between two passages the cores are others'
        options.add_session_config_entry("session.force_spinning_stop", "1")
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warnings about the graph are the exporter's business
    if optimized:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
    )
