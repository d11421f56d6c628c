from pathlib import Path

import pytest

from training.readme import write_block


def test_a_block_is_replaced_between_its_marks(tmp_path: Path) -> None:
    """Only what stands between the marks changes, as often as it is written."""
    path = tmp_path / "README.md"
    path.write_text("a\n<!-- quality -->\nold\n<!-- /quality -->\nb\n", encoding="utf-8")
    for text in ("new \\1", "newer"):
        write_block(path, "quality", text)
        assert f"a\n<!-- quality -->\n{text}\n<!-- /quality -->\nb\n" == path.read_text(encoding="utf-8")


def test_missing_marks_are_told(tmp_path: Path) -> None:
    """A table is never written somewhere else."""
    path = tmp_path / "README.md"
    path.write_text("a\n", encoding="utf-8")
    with pytest.raises(ValueError, match="the marks <!-- quality -->"):
        write_block(path, "quality", "x")
