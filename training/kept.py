"""What a fit was asked and said, kept: a few kilobytes where a bundle is a hundred megabytes.

It stands beside the fit, in `state/fits/KEY/NAME.json`; what took hours is also kept in git, a line a file, so that it can be
made in pieces, on several machines, and only folds whose labels or recipe have changed are fitted again. The key of a fit is
the hash of all that shapes its weights (`training.package.fit_key`). It says nothing of the code that asks: whoever changes how
the service names a tag's sentence removes the lines and files `carrying-*`.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.whole import whole


def kept_or_found(file: Path, question: Any, find: Callable[[], Any], *, fresh: bool = False) -> Any:
    """What `find` gave for this very question (any JSON), from the file; found now and kept when it is not there, or `fresh`.

    Raises OSError, and what `find` raises.
    """
    asked = hashlib.sha256(json.dumps(question).encode()).hexdigest()
    kept = None if fresh else _read(file)
    if kept and kept["asked"] == asked:
        os.utime(file.parent)  # not old, see `Registry.collect`
        return kept["found"]
    found = find()
    _keep(file, asked, found)
    return found


@contextmanager
def remembered(lines: Path, fits: Path, keys: Collection[str], *, elsewhere: Sequence[Path] = ()) -> Iterator[None]:
    """Within the block the fits of these keys find what `lines` holds of them; what they add is kept there at its end.

    So it is when an error ends it. What other such files hold of them is found too, and not kept twice. Raises OSError.
    """
    known = set().union(*(_put_back(one, fits, keys) for one in (lines, *elsewhere)))
    try:
        yield
    finally:
        new = {(row["key"], row["name"]): row for row in _rows_of(fits, keys) if _name_of(row) not in known}
        if new:
            lines.parent.mkdir(parents=True, exist_ok=True)
            rows = [*(row for row in _lines_of(lines) if (row["key"], row["name"]) not in new), *new.values()]
            with whole(lines) as part:
                part.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _put_back(lines: Path, fits: Path, keys: Collection[str]) -> set[tuple[str, str, str]]:
    """Write the files of these fits that are not there or not to be read; the names of all that `lines` holds of them."""
    wanted = [row for row in _lines_of(lines) if row["key"] in keys]
    for row in wanted:
        file = fits / row["key"] / f"{row['name']}.json"
        if _read(file) is None:
            _keep(file, row["asked"], row["found"])
    return {_name_of(row) for row in wanted}


def _name_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["key"], row["name"], row["asked"]


def _lines_of(lines: Path) -> list[dict[str, Any]]:
    """`key`, `name`, `asked` and `found` of all that is kept in a file; nothing when there is no file."""
    if not lines.is_file():
        return []
    return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]


def _rows_of(fits: Path, keys: Collection[str]) -> Iterator[dict[str, Any]]:
    for key in sorted(keys):
        for file in sorted((fits / key).glob("*.json")):
            if kept := _read(file):
                yield {"key": key, "name": file.stem, **kept}


def _keep(file: Path, asked: str, found: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as part:
        part.write_text(json.dumps({"asked": asked, "found": found}), encoding="utf-8")


def _read(file: Path) -> dict[str, Any] | None:
    """`asked` and `found`; None for a file that is not there, or damaged, or of an earlier form."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {"asked": kept["asked"], "found": kept["found"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
