"""The ray engine on two real nodes of this machine: the rows of the local engine, also when a node is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from serving.bundle import read_bundle

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ray")

RAY = str(Path(sys.executable).with_name("ray"))
SCORE = [sys.executable, "-m", "serving.cli", "score"]


class Nodes:
    """Two nodes of one core each, the first with the head."""

    def __init__(self, folder: Path) -> None:
        """Start both."""
        self._environment = {
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
        }
        common = [
            RAY,
            "start",
            "--num-cpus",
            "1",
            "--object-store-memory",
            "100000000",
            "--node-ip-address",
            "127.0.0.1",
            "--block",
        ]
        self.address = "127.0.0.1:26379"
        head = [*common, "--head", "--port", "26379", "--include-dashboard", "false", "--temp-dir", str(folder)]
        self._processes = [subprocess.Popen(head, env=self._environment, stdout=subprocess.DEVNULL, start_new_session=True)]
        time.sleep(4)
        second = [*common, "--address", self.address]
        self._processes.append(
            subprocess.Popen(second, env=self._environment, stdout=subprocess.DEVNULL, start_new_session=True)
        )

    def run(self, arguments: list[str], **more: Any) -> subprocess.Popen[str]:
        """`tagger score` on the cluster."""
        return subprocess.Popen(
            [*SCORE, *arguments, "--engine", "ray", "--ray-address", self.address], env=self._environment, text=True, **more
        )

    def kill_second(self) -> None:
        """As a machine that fails."""
        os.killpg(self._processes[1].pid, signal.SIGKILL)

    def stop(self) -> None:
        """End all processes."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """A cluster of this test's own."""
    folder = Path("/tmp/tagger-ray")  # noqa: S108 - Ray's sockets need a short path
    made = Nodes(folder)
    yield made
    made.stop()
    subprocess.run(["rm", "-rf", str(folder)], check=False)  # noqa: S607


def rows(path: Path) -> Any:
    """The rows of a folder of Parquet files, in the order of the files."""
    return pa.concat_tables([parquet.read_table(one) for one in sorted(path.glob("*.parquet"))])


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_what_is_there_is_not_replaced_unasked(
    quick_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """A local folder, or the documents beside it, is refused; `--restart` replaces it when the new one is whole."""
    from serving.batch import cluster
    from serving.batch.command import main
    from serving.batch.outputs import schema

    def write(run: Any, files: Any, part: str) -> None:
        assert json.loads(documents.read_text(encoding="utf-8")) == "old"  # until the new one is whole
        Path(part).mkdir()
        row = {"document": "new", "tags": [], "review": []}
        parquet.write_table(pa.Table.from_pylist([row], schema=schema(read_bundle(quick_bundle).tags)), f"{part}/0.parquet")

    monkeypatch.setattr(cluster, "_join", lambda _: None)
    monkeypatch.setattr(cluster, "_write", write)
    table, out, documents = tmp_path / "t.jsonl", tmp_path / "out.parquet", tmp_path / "out.documents.jsonl"
    table.write_text('{"text": "We urge you."}', encoding="utf-8")
    run = [str(table), "-o", form.format(out), "--engine", "ray", "--bundle", str(quick_bundle)]
    documents.write_text('"old"', encoding="utf-8")
    assert main(run) == 2
    assert "out.documents.jsonl exists already; --restart replaces it, or name another output" in capsys.readouterr().err
    assert main([*run, "--restart"]) == 0
    (out / "1.parquet").write_text("of a longer run", encoding="utf-8")
    documents.write_text('"old"', encoding="utf-8")
    assert main(run) == 2
    assert "out.parquet exists already; --restart replaces it" in capsys.readouterr().err
    assert main([*run, "--restart"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["0.parquet", "_SUCCESS"]
    assert json.loads(documents.read_text(encoding="utf-8"))["document"] == "new"
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    assert main([*run, "--restart"]) == 2
    assert "out.parquet holds other things than the ray engine writes" in capsys.readouterr().err
    assert (out / "mine.txt").exists()


@pytest.mark.parametrize("killed", [False, True])
def test_two_nodes_write_the_rows_of_one_machine(
    nodes: Nodes,
    quick_bundle: Path,
    tmp_path: Path,
    root: Path,
    killed: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Same rows, same order; a node that is killed in the middle costs nothing but time."""
    table = tmp_path / "many.jsonl"
    lines = [json.dumps({"text": f"We urge council {n} to act.", "id": n}) if n % 89 else "broken" for n in range(4000)]
    table.write_text("\n".join(lines), encoding="utf-8")
    inputs = [str(root / "seeds"), str(table)]
    local, out = tmp_path / "local.parquet", tmp_path / "ray.parquet"
    more = ["--bundle", str(quick_bundle)]
    assert (
        subprocess.run([*SCORE, *inputs, "-o", str(local), *more], cwd=root, check=False, capture_output=True).returncode == 1
    )
    urls = [f"file://{one}" for one in inputs]  # as of an object store, through fsspec
    process = nodes.run(
        [*(inputs if killed else urls), "-o", str(out) if killed else f"file://{out}", *more, "--json"],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if killed:
        time.sleep(9)
        assert process.poll() is None
        nodes.kill_second()
    said, errors = process.communicate(timeout=200)
    assert process.returncode == 1, errors
    found, wanted = rows(out), parquet.read_table(local)
    if not killed:
        names = [name.removeprefix("file://") for name in found["document"].to_pylist()]
        found = found.set_column(0, "document", pa.array(names))
    assert found.equals(wanted)
    assert json.loads(said.splitlines()[-1])["rows"] == 584 + 4000
    summaries = (tmp_path / "ray.documents.jsonl").read_text(encoding="utf-8").replace("file://", "")
    assert summaries == (tmp_path / "local.documents.jsonl").read_text(encoding="utf-8")
