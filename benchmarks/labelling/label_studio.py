"""Label Studio, driven by its HTTP API."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.labelling.tool import NOTHING_HOME, Project, done, free_port, running, wait


@contextmanager
def label_studio(binaries: Path, home: Path, config: str) -> Iterator[Project]:
    """A project of a server, driven by its HTTP API."""
    port, token = free_port(), "0123456789abcdef0123456789abcdef01234567"
    quiet = {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "FEATURE_FLAGS_OFFLINE": "true"}
    quiet |= {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "HOME": str(home)}
    start = [str(binaries / "label-studio"), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    start += ["--data-dir", str(home), "--username", "ann@example.org", "--password", "for-one-run-only", "--user-token", token]
    home.mkdir()
    with (
        running([*start, "--enable-legacy-api-token"], NOTHING_HOME | quiet, home),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Token {token}"}, timeout=120) as http,
    ):
        wait(lambda: http.get("/api/version").is_success)
        version = http.get("/api/version").json()["release"]
        made = done(http.post("/api/projects/", json={"title": "labels", "label_config": config}))
        project = made["id"]

        def load(path: Path) -> None:
            with path.open("rb") as file:
                done(http.post(f"/api/projects/{project}/import", files={"file": (path.name, file, "application/json")}))

        def exports(folder: Path) -> dict[str, Path]:
            folder.mkdir()
            for kind in ("JSON", "JSON_MIN"):
                answer = http.get(f"/api/projects/{project}/export", params={"exportType": kind}).raise_for_status()
                (folder / f"{kind}.json").write_bytes(answer.content)
            return {kind: folder / f"{kind}.json" for kind in ("JSON", "JSON_MIN")}

        def correct(text: str, tags: Sequence[str]) -> None:
            found = done(http.get("/api/tasks", params={"project": project, "fields": "all", "page_size": 1000}))["tasks"]
            [task] = [one for one in found if one["data"]["text"] == text]
            done(http.patch(f"/api/annotations/{task['annotations'][0]['id']}/", json={"result": [chosen(tags)]}))

        def label(text: str, tags: Sequence[str]) -> None:
            data = {"text": text, "context": "", "document": "there"}
            task = done(http.post("/api/tasks/", json={"project": project, "data": data}))["id"]
            done(http.post(f"/api/tasks/{task}/annotations/", json={"result": [chosen(tags)]}))

        def chosen(tags: Sequence[str]) -> dict[str, Any]:
            return {"from_name": "tags", "to_name": "text", "type": "choices", "value": {"choices": list(tags)}}

        yield Project(version=version, load=load, exports=exports, correct=correct, label=label)
