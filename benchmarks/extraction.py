"""Real files that Debian and Python packages ship, read as `tagger score` reads them: none may crash, none may be empty.

make bench-extraction            downloads some packages, unpacks them, and reads their manuals (needs apt-get and dpkg)
make bench-extraction QUICK=1    two packages, changes nothing
"""

import argparse
import gzip
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results import finish
from labels.passages import split_passages
from serving.extraction.extracted import ExtractionError
from serving.extraction.isolated import DocumentReader
from serving.extraction.kinds import kind_of_name

DEBIAN = (
    "debian-faq",
    "debian-policy",
    "debmake-doc",
    "developers-reference",
    "gnuplot-doc",
    "maxima-doc",
    "octave-doc",
    "r-doc-pdf",
)
PYPI = ("python-docx", "mammoth", "docx2python")
_PAGES = 12
"""Web pages of a package; a manual has hundreds of one making."""
_SMALLEST = {"html": 3000, "pdf": 3000, "docx": 0, "epub": 0}
"""Bytes below which a file is a stub, not a document."""


def main(arguments: list[str]) -> int:
    """Read, print the table, and end with the line RESULT {json}; 1 when a file was empty, failed, or did not slice back."""
    parser = argparse.ArgumentParser(prog="bench-extraction")
    parser.add_argument("--quick", action="store_true", help="two packages; changes no tracked file")
    quick = parser.parse_args(arguments).quick
    found: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    failed: list[str] = []
    reader = DocumentReader()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for package in DEBIAN[:1] if quick else DEBIAN:
            _debian(package, folder)
        for package in PYPI[:1] if quick else PYPI:
            _pypi(package, folder)
        for path, kind, content in _files(folder):
            started = time.perf_counter()
            row = found[kind]
            row["files"] += 1
            shown = str(path.relative_to(folder))
            try:
                document = reader.read(content, kind)
            except ExtractionError as error:
                if error.code == "no_text" and kind == "docx" and not _has_words(content):  # files that test those packages
                    row["without_text"] += 1
                else:
                    failed.append(f"{shown}: {error.code}: {error.detail}")
                continue
            passages = split_passages(document.text)
            if not passages and kind != "docx":
                failed.append(f"{shown}: no passages")
            if any(document.text[one.start : one.end] != one.text for one in passages):
                failed.append(f"{shown}: an offset does not slice back")
            row["passages"] += len(passages)
            row["characters"] += len(document.text)
            row["seconds"] += time.perf_counter() - started
    reader.close()
    for line in failed:
        print(line, file=sys.stderr)
    lines = ["| | files | without text | passages | characters a second |", "| --- | --- | --- | --- | --- |"]
    for kind, row in sorted(found.items()):
        rate = row["characters"] / max(row["seconds"], 1e-9)
        lines.append(f"| {kind} | {row['files']} | {row['without_text']} | {row['passages']} | {rate:,.0f} |")
    total = sum(row["files"] for row in found.values())
    lines += ["", f"{total} files of {len(DEBIAN) + len(PYPI)} packages; {len(failed)} could not be read."]
    result = {"files": total, "failed": len(failed), "kinds": {kind: dict(row) for kind, row in found.items()}}
    return finish("extraction", "\n".join(lines), result, quick=quick) or bool(failed)


def _has_words(content: bytes) -> bool:
    """Whether a Word file's body holds any text, by its XML alone."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return bool(re.search(rb"<w:t(?: [^>]*)?>[^<]*[^<\s][^<]*</w:t>", archive.read("word/document.xml")))


def _debian(package: str, folder: Path) -> None:
    place = folder / package
    place.mkdir()
    subprocess.run(["apt-get", "download", "-qq", package], cwd=place, check=True, stderr=subprocess.DEVNULL)  # noqa: S607 - of this system
    [archive] = place.glob("*.deb")
    subprocess.run(["dpkg", "-x", str(archive), str(place)], check=True)  # noqa: S607 - of this system
    archive.unlink()


def _pypi(package: str, folder: Path) -> None:
    place = folder / package
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    subprocess.run([*command, package, "-d", str(place)], check=False, stderr=subprocess.DEVNULL)
    for archive in place.glob("*.tar.gz"):
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")


def _files(folder: Path) -> Iterator[tuple[Path, str, bytes]]:
    pages: dict[Path, int] = defaultdict(int)
    for path in sorted(folder.rglob("*")):
        kind = kind_of_name(path.name.removesuffix(".gz"))
        if not path.is_file() or path.is_symlink() or kind not in _SMALLEST:
            continue
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if len(content) < _SMALLEST[kind]:
            continue
        package = folder / path.relative_to(folder).parts[0]
        pages[package] += kind == "html"
        if kind != "html" or pages[package] <= _PAGES:
            yield path, kind, content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
