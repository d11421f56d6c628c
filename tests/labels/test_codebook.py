import re

from labels.codebook import load_codebook
from labels.corpus import LABELS


def test_tags_and_rules_agree_with_the_written_codebook() -> None:
    """CODEBOOK.md has the version and a section for each tag, in the order of the data."""
    written = (LABELS / "CODEBOOK.md").read_text(encoding="utf-8")
    codebook = load_codebook()
    assert f"Version {codebook.version}." in written
    assert list(codebook.names) == re.findall(r"^## (\w+)$", written, re.MULTILINE)


def test_rule_ids_name_their_tag() -> None:
    """An id says tag and side, so that a row can be read without the table."""
    for tag in load_codebook().tags:
        assert all(rule.startswith(f"{tag.name}.yes.") for rule in tag.yes)
        assert all(rule.startswith(f"{tag.name}.no.") for rule in tag.no)


def test_a_demand_for_sanctions_is_an_advocacy_call() -> None:
    """The one implication of the codebook."""
    assert {tag.name: tag.implies for tag in load_codebook().tags if tag.implies} == {"sanctions_demand": ("advocacy_call",)}
