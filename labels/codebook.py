"""The codebook as data: reads `labels/tags.toml`. The written rules are in `labels/CODEBOOK.md`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

TAGS_FILE = Path(__file__).parent / "tags.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """One tag of the codebook."""

    name: str
    title: str
    definition: str
    implies: tuple[str, ...]
    """Tags that hold wherever this one holds."""
    yes: dict[str, str]
    """Rule id -> codebook line under which the tag holds."""
    no: dict[str, str]
    """Rule id -> codebook line under which it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codebook:
    """All tags, in the order of the model's logits, and the version of the rules."""

    version: str
    tags: tuple[Tag, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Tag names in the order of the logits."""
        return tuple(tag.name for tag in self.tags)


def load_codebook(path: Path = TAGS_FILE) -> Codebook:
    """Read the tags. Raises OSError, tomllib.TOMLDecodeError or KeyError when the file is not as it should be."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    tags = tuple(
        Tag(
            name=entry["name"],
            title=entry["title"],
            definition=entry["definition"],
            implies=tuple(entry.get("implies", ())),
            yes=dict(entry["yes"]),
            no=dict(entry["no"]),
        )
        for entry in data["tags"]
    )
    return Codebook(version=data["codebook"], tags=tags)
