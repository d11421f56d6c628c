"""doccano, a server and its worker, driven by its HTTP API."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.labelling.tool import NOTHING_HOME, Project, done, free_port, running, version_of, wait


@contextmanager
def doccano(binaries: Path, home: Path, config: str) -> Iterator[Project]:
    """A project of a server and its worker, driven by its HTTP API."""
    port = free_port()
    home.mkdir()
    base = next(binaries.parent.glob("lib/python*/site-packages/backend"))
    settings = {"DOCCANO_HOME": str(home), "STANDALONE": "True", "DJANGO_SETTINGS_MODULE": "config.settings.production"}
    settings |= {"DATABASE_URL": f"sqlite:///{home}/db.sqlite3", "MEDIA_ROOT": str(home / "media"), "HOME": str(home)}
    settings |= NOTHING_HOME
    command_line = str(binaries / "doccano")
    for command in (["init"], ["createuser", "--username", "ann", "--password", "for-one-run-only"]):
        made = subprocess.run(
            [command_line, *command], env=os.environ | settings, cwd=home, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr[-3000:]
    # `doccano webserver` listens on every address
    server = [str(binaries / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "1", "--chdir", str(base), "config.wsgi"]
    with (
        running(server, settings, home),
        running([command_line, "task", "--concurrency", "1"], settings, home),
        httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", timeout=120) as http,
    ):
        wait(lambda: http.get("/health/").status_code in {200, 500})  # 500: its check of the worker does not know this broker
        token = done(http.post("/auth/login/", json={"username": "ann", "password": "for-one-run-only"}))["key"]
        http.headers["Authorization"] = f"Token {token}"
        http.cookies.clear()  # a session would be asked for more than the token
        body = {
            "name": "labels",
            "description": "labels",
            "project_type": "DocumentClassification",
            "collaborative_annotation": True,
        }
        project = f"/projects/{done(http.post('/projects', json=body | {'resourcetype': 'TextClassificationProject'}))['id']}"
        http.post(f"{project}/category-type-upload", files={"file": ("types.json", config)}).raise_for_status()
        types = {one["text"]: one["id"] for one in done(http.get(f"{project}/category-types"))}

        def task(path: str, **asked: Any) -> str:
            """Ask for something that the worker does, and wait for it."""
            name = str(done(http.post(f"{project}{path}", json=asked))["task_id"])
            wait(lambda: bool(done(http.get(f"/tasks/status/{name}"))["ready"]))
            answer = done(http.get(f"/tasks/status/{name}"))
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
            found = done(http.get(f"{project}/examples", params={"limit": 1000}))["results"]
            [example] = [one["id"] for one in found if one["text"] == text]
            http.delete(f"{project}/examples/{example}/categories").raise_for_status()
            categorise(example, tags)

        def label(text: str, tags: Sequence[str]) -> None:
            meta = {"document": "there", "annotator": "cat"}
            categorise(done(http.post(f"{project}/examples", json={"text": text, "meta": meta}))["id"], tags)

        def categorise(example: int, tags: Sequence[str]) -> None:
            for tag in tags:
                done(http.post(f"{project}/examples/{example}/categories", json={"label": types[tag]}))

        yield Project(version=version_of(binaries, "doccano"), load=load, exports=exports, correct=correct, label=label)
