"""The table of peers in README.md is what their kept logits say, beside the committed evaluation of ours."""

import json
from pathlib import Path

from benchmarks.peers.run import kept_table


def test_the_table_follows_from_the_kept_logits(root: Path) -> None:
    """Else run `make bench-peers`, or `python -m benchmarks.peers.run --kept` when only our model has changed."""
    table, figures = kept_table()
    assert len(figures["peers"]) > 2, "our two profiles and a peer at least"
    committed = json.loads((root / "benchmarks" / "results" / "peers.json").read_text(encoding="utf-8"))
    assert committed["peers"] == figures["peers"]
    assert table in (root / "README.md").read_text(encoding="utf-8")
