"""Labels through real tools: our export into Label Studio and doccano, corrected there, and their exports back into a store.

python -m benchmarks.labelling_tools                          both
python -m benchmarks.labelling_tools --only label-studio      one of them

Each tool runs in an environment of its own, on loopback, and is told to send nothing home. A line of JSON a tool says whether
the same labels came back; the status is 1 when they did not, or when one corrected or made there did not come in as such.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.environments import environment
from labels.codebook import Codebook, load_codebook
from labels.corpus import LABELS
from labels.database import open_database
from labels.formats.table import FORMATS
from labels.store import Label, LabelStore, NewLabel
from serving.labelling.transfer import import_labels

_ROWS = 200
_NASTY = (
    "=1+1; \"quoted\", 'single'",
    "line one\nline two\r\n\ttabbed",
    "  spaces around  ",
    "é ☃ \U0001f600 \u2028 <b>&amp;</b>",
    "- act",
)
_NOWHERE = "http://127.0.0.1:9"
"""A proxy that does not answer: what a tool would send anywhere but to this machine goes there."""
_HOME = {
    "HTTP_PROXY": _NOWHERE,
    "HTTPS_PROXY": _NOWHERE,
    "http_proxy": _NOWHERE,
    "https_proxy": _NOWHERE,
    "NO_PROXY": "127.0.0.1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project of a running tool."""

    version: str
    load: Callable[[Path], None]
    """Import a file."""
    exports: Callable[[Path], dict[str, Path]]
    """Everything that was labelled, by format of the tool, written into a folder."""
    correct: Callable[[str, Sequence[str]], None]
    """Give the example with this text other tags."""
    label: Callable[[str, Sequence[str]], None]
    """Make an example of a document and label it, as a user of the tool."""


def main(arguments: list[str]) -> int:
    """Take labels through the tools; 1 when they came back as others."""
    parser = argparse.ArgumentParser(prog="labelling-tools")
    parser.add_argument("--only", choices=_TOOLS)
    only = parser.parse_args(arguments).only
    results = [_taken_through(name) for name in _TOOLS if only in (None, name)]
    return 0 if all(one["same"] and one["corrected"] and one["made_there"] for one in results) else 1


def _taken_through(tool: str) -> dict[str, Any]:
    packages, started = _TOOLS[tool]
    binaries = environment(packages, tool)
    codebook = load_codebook()
    with TemporaryDirectory(prefix="labelling-") as name:
        folder = Path(name)
        with _store(folder / "from.db", codebook) as store:
            store.add(_labels(codebook))
            exported = folder / f"exported{'.json' if tool == 'label-studio' else '.jsonl'}"
            FORMATS[tool].write(exported, store.current(), codebook)
            config = FORMATS[tool].config
            assert config
            with started(binaries, folder / "home", config(codebook)) as project:
                project.load(exported)
                result: dict[str, Any] = {"tool": tool, "version": project.version, "labels": len(store.current())}
                result["differences"] = {
                    kind: _differences(store, path, tool, codebook) for kind, path in project.exports(folder / "first").items()
                }
                result["same"] = not any(result["differences"].values())
                result["corrected"] = _is_corrected(store, project, folder / "second", tool)
                result["made_there"] = _is_taken_in(store, project, folder / "third", tool)
    print(json.dumps(result, ensure_ascii=False), flush=True)
    return result


def _labels(codebook: Codebook) -> list[NewLabel]:
    """Passages of the seeds and some that are hard to carry, with tags that were not judged here and there."""
    with (LABELS / "gold.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(_ROWS), lines, strict=False)]
    rows += [{"document": "nasty", "text": text, "context": text, codebook.names[0]: True} for text in _NASTY]
    found = []
    for number, row in enumerate(rows):
        tags = {tag: row.get(tag) for tag in codebook.names}
        if number % 5 == 0:
            tags[codebook.names[-1]] = None
        found.append(
            NewLabel(
                document=row["document"],
                text=row["text"],
                context=row["context"],
                tags=tags,
                annotator=("ann", "bea")[number % 2],
                kind=("human", "llm")[number % 2],
                suggested=number % 3 == 0,
                key=f"label {number}" if number % 4 else "",
            )
        )
    return found


def _differences(store: LabelStore, path: Path, tool: str, codebook: Codebook) -> list[str]:
    """What is not the same in an empty database that a tool's export was imported into; the first few."""
    database = path.parent / f"{path.stem}.db"
    status = _imported(path, tool, database)
    with _store(database, codebook) as other:
        before, after = ({_said(one) for one in found.current()} for found in (store, other))
    missing, added = [f"lost: {one}" for one in before - after], [f"new: {one}" for one in after - before]
    return [*(["the import was refused"] if status else []), *missing[:3], *added[:3]]


def _is_corrected(store: LabelStore, project: Project, folder: Path, tool: str) -> bool:
    """Whether one label that is corrected in the tool comes back as one change, and nothing else does."""
    first = store.current()[0]
    tags = [name for name, holds in first.tags.items() if holds is False][-1:]
    project.correct(first.text, tags)
    rows = _new_rows(store, project, folder, tool)
    return [(one.supersedes, [name for name, holds in one.tags.items() if holds]) for one in rows] == [(first.id, tags)]


def _is_taken_in(store: LabelStore, project: Project, folder: Path, tool: str) -> bool:
    """Whether an example that was made in the tool comes in as one new label of its user, and nothing else does."""
    names = store.codebook.names
    project.label("Made there.", names[:2])
    who = {"label-studio": "label-studio:1", "doccano": "cat"}[tool]
    rows = _new_rows(store, project, folder, tool)
    expected = {name: name in names[:2] for name in names}
    return [(one.text, one.document, one.annotator, one.tags) for one in rows] == [("Made there.", "there", who, expected)]


def _new_rows(store: LabelStore, project: Project, folder: Path, tool: str) -> list[Label]:
    """What is added by what the tool exports now."""
    before, path = store.newest(), next(iter(project.exports(folder).values()))
    assert _imported(path, tool, Path(str(store.engine.url.database))) == 0
    return store.rows(before)


def _imported(path: Path, tool: str, database: Path) -> int:
    os.environ["TAGGER_DATABASE"] = f"sqlite:///{database}"
    with redirect_stdout(sys.stderr):
        return import_labels([str(path), "--format", tool])


def _said(label: Label) -> str:
    return json.dumps(
        [label.document, label.text, label.context, label.annotator, label.kind, label.tags, label.suggested, label.key]
    )


@contextmanager
def _store(path: Path, codebook: Codebook) -> Iterator[LabelStore]:
    engine = open_database(f"sqlite:///{path}")
    try:
        yield LabelStore(engine, codebook)
    finally:
        engine.dispose()


@contextmanager
def _label_studio(binaries: Path, home: Path, config: str) -> Iterator[Project]:
    """A project of a server, driven by its HTTP API."""
    port, token = _free_port(), "0123456789abcdef0123456789abcdef01234567"
    quiet = {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "FEATURE_FLAGS_OFFLINE": "true"}
    quiet |= {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "HOME": str(home)}
    start = [str(binaries / "label-studio"), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    start += ["--data-dir", str(home), "--username", "ann@example.org", "--password", "for-one-run-only", "--user-token", token]
    home.mkdir()
    with (
        _running([*start, "--enable-legacy-api-token"], _HOME | quiet, home),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Token {token}"}, timeout=120) as http,
    ):
        _wait(lambda: http.get("/api/version").is_success)
        version = http.get("/api/version").json()["release"]
        made = _done(http.post("/api/projects/", json={"title": "labels", "label_config": config}))
        project = made["id"]

        def load(path: Path) -> None:
            with path.open("rb") as file:
                _done(http.post(f"/api/projects/{project}/import", files={"file": (path.name, file, "application/json")}))

        def exports(folder: Path) -> dict[str, Path]:
            folder.mkdir()
            for kind in ("JSON", "JSON_MIN"):
                answer = http.get(f"/api/projects/{project}/export", params={"exportType": kind}).raise_for_status()
                (folder / f"{kind}.json").write_bytes(answer.content)
            return {kind: folder / f"{kind}.json" for kind in ("JSON", "JSON_MIN")}

        def correct(text: str, tags: Sequence[str]) -> None:
            found = _done(http.get("/api/tasks", params={"project": project, "fields": "all", "page_size": 1000}))["tasks"]
            [task] = [one for one in found if one["data"]["text"] == text]
            _done(http.patch(f"/api/annotations/{task['annotations'][0]['id']}/", json={"result": [chosen(tags)]}))

        def label(text: str, tags: Sequence[str]) -> None:
            data = {"text": text, "context": "", "document": "there"}
            task = _done(http.post("/api/tasks/", json={"project": project, "data": data}))["id"]
            _done(http.post(f"/api/tasks/{task}/annotations/", json={"result": [chosen(tags)]}))

        def chosen(tags: Sequence[str]) -> dict[str, Any]:
            return {"from_name": "tags", "to_name": "text", "type": "choices", "value": {"choices": list(tags)}}

        yield Project(version=version, load=load, exports=exports, correct=correct, label=label)


@contextmanager
def _doccano(binaries: Path, home: Path, config: str) -> Iterator[Project]:
    """A project of a server and its worker, driven by its HTTP API."""
    port = _free_port()
    home.mkdir()
    base = next(binaries.parent.glob("lib/python*/site-packages/backend"))
    settings = {"DOCCANO_HOME": str(home), "STANDALONE": "True", "DJANGO_SETTINGS_MODULE": "config.settings.production"}
    settings |= {"DATABASE_URL": f"sqlite:///{home}/db.sqlite3", "MEDIA_ROOT": str(home / "media"), "HOME": str(home)}
    settings |= _HOME
    doccano = str(binaries / "doccano")
    for command in (["init"], ["createuser", "--username", "ann", "--password", "for-one-run-only"]):
        made = subprocess.run(
            [doccano, *command], env=os.environ | settings, cwd=home, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr[-3000:]
    # `doccano webserver` listens on every address
    server = [str(binaries / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "1", "--chdir", str(base), "config.wsgi"]
    with (
        _running(server, settings, home),
        _running([doccano, "task", "--concurrency", "1"], settings, home),
        httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", timeout=120) as http,
    ):
        _wait(lambda: http.get("/health/").status_code in {200, 500})  # 500: its check of the worker does not know this broker
        token = _done(http.post("/auth/login/", json={"username": "ann", "password": "for-one-run-only"}))["key"]
        http.headers["Authorization"] = f"Token {token}"
        http.cookies.clear()  # a session would be asked for more than the token
        body = {
            "name": "labels",
            "description": "labels",
            "project_type": "DocumentClassification",
            "collaborative_annotation": True,
        }
        project = f"/projects/{_done(http.post('/projects', json=body | {'resourcetype': 'TextClassificationProject'}))['id']}"
        http.post(f"{project}/category-type-upload", files={"file": ("types.json", config)}).raise_for_status()
        types = {one["text"]: one["id"] for one in _done(http.get(f"{project}/category-types"))}

        def task(path: str, **asked: Any) -> str:
            """Ask for something that the worker does, and wait for it."""
            name = str(_done(http.post(f"{project}{path}", json=asked))["task_id"])
            _wait(lambda: bool(_done(http.get(f"/tasks/status/{name}"))["ready"]))
            answer = _done(http.get(f"/tasks/status/{name}"))
            assert not answer["error"], answer
            assert not isinstance(answer["result"], dict) or not answer["result"]["error"], answer
            return name

        def load(path: Path) -> None:
            with path.open("rb") as file:
                upload = http.post("/fp/process/", files={"filepond": (path.name, file)}).raise_for_status().text.strip('"')
            columns = {"column_data": "text", "column_label": "label", "encoding": "Auto", "delimiter": ""}
            task("/upload", format="JSONL", uploadIds=[upload], task="DocumentClassification", **columns)

        def exports(folder: Path) -> dict[str, Path]:
            folder.mkdir()
            name = task("/download", format="JSONL", exportApproved=False)
            answer = http.get(f"{project}/download", params={"taskId": name}).raise_for_status()
            path = folder / "labels.zip"
            path.write_bytes(answer.content)
            return {"JSONL": path}

        def correct(text: str, tags: Sequence[str]) -> None:
            found = _done(http.get(f"{project}/examples", params={"limit": 1000}))["results"]
            [example] = [one["id"] for one in found if one["text"] == text]
            http.delete(f"{project}/examples/{example}/categories").raise_for_status()
            categorise(example, tags)

        def label(text: str, tags: Sequence[str]) -> None:
            meta = {"document": "there", "annotator": "cat"}
            categorise(_done(http.post(f"{project}/examples", json={"text": text, "meta": meta}))["id"], tags)

        def categorise(example: int, tags: Sequence[str]) -> None:
            for tag in tags:
                _done(http.post(f"{project}/examples/{example}/categories", json={"label": types[tag]}))

        yield Project(version=_version(binaries, "doccano"), load=load, exports=exports, correct=correct, label=label)


_TOOLS = {
    "label-studio": (["label-studio"], _label_studio),
    "doccano": (["doccano", "marshmallow<4", "numpy<2"], _doccano),  # of 2023, when those were not there yet
}


def _version(binaries: Path, package: str) -> str:
    paths = [str(path) for path in binaries.parent.glob("lib/python*/site-packages")]
    return next(iter(metadata.distributions(name=package, path=paths))).version


@contextmanager
def _running(command: list[str], settings: dict[str, str], home: Path) -> Iterator[None]:
    """A server, ended at the end; when it was not started right, its log is told."""
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log, cwd=home)
        try:
            yield
        except BaseException:
            print((home / "log").read_text(encoding="utf-8", errors="replace")[-3000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait(30)


def _wait(is_ready: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if is_ready():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    message = f"the tool was not ready after {seconds} s"
    raise TimeoutError(message)


def _done(answer: httpx.Response) -> Any:
    """The body of an answer; what went wrong when it is none."""
    if not answer.is_success:
        message = f"{answer.request.method} {answer.request.url}: {answer.status_code}: {answer.text[:1000]}"
        raise RuntimeError(message)
    return answer.json()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
