"""Tables in README.md that commands write: the text between a pair of marks is replaced whole."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def write_block(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->`. Raises ValueError when the marks are missing."""
    body = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    if not pattern.search(body):
        message = f"{path}: the marks <!-- {name} --> and <!-- /{name} --> are missing"
        raise ValueError(message)
    path.write_text(pattern.sub(lambda match: f"{match[1]}{text.rstrip()}\n{match[2]}", body), encoding="utf-8")
