"""What is wrong with the labels or the seeds: every problem found, each with file, line and field."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong, in words that name the bad value and the allowed one."""

    file: str
    message: str
    line: int | None = None
    """Line in the file, from 1; None when the whole file is meant."""
    field: str = ""

    def __str__(self) -> str:
        """`file:line: field: message`, as compilers print it."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.field, self.message) if part)


class CorpusError(Exception):
    """Raised when the seeds or the labels cannot be used; `problems` lists all that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        """Keep `problems` and put them, one a line, into the message."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
