"""The pages that people look at, in a real browser without a network: the summary of a run, the API's documentation."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serving.batch.command import main as score
from serving.batch.summary import main as summary
from serving.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import Running

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed (CI installs it)"),
    pytest.mark.enable_socket,
]
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser."""
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test on any error of its scripts, and on any request beyond loopback and files."""
    opened = browser.new_page(viewport={"width": 1300, "height": 900})
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    opened.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "data:", "http://127.0.0.1")) else problems.append(asked.url),
    )
    yield opened
    opened.close()
    assert problems == []


def test_the_summary_of_a_run(
    page: Any, quick_bundle: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a document with its counts; opened it shows passages; filters of tag, score and words leave fewer of them."""
    evil = tmp_path / "evil.jsonl"
    evil.write_text(
        json.dumps({"text": "We urge </script><script>throw 1</script> & <b>action</b> now."}) + "\n{\n", encoding="utf-8"
    )
    out, html = tmp_path / "scores.csv", tmp_path / "scores.html"
    run = [str(root / "seeds"), str(evil), "-o", str(out), "--bundle", str(quick_bundle), "--threshold", "advocacy_call:0"]
    assert score(run) == 1
    assert summary([str(out), "--html", str(html)]) == 0
    printed = capsys.readouterr().out
    assert "evil.jsonl" in printed
    assert printed.count("advocacy_call") == 2  # by document, and by source
    assert f" {root / 'seeds'} " in printed
    page.goto(html.as_uri())
    documents = page.locator("details")
    assert documents.count() == 6
    counts = list(map(json.loads, (tmp_path / "scores.documents.jsonl").read_text(encoding="utf-8").splitlines()))
    for index, row in enumerate(counts):
        said = documents.nth(index).locator("summary").inner_text()
        assert f"{row['tags']['advocacy_call']} of {row['passages']}" in said
    assert "1 failed" in documents.nth(5).inner_text()
    documents.nth(5).locator("summary").click()
    documents.nth(5).locator(".passage").wait_for()
    assert "</script><script>throw 1</script>" in documents.nth(5).locator(".passage").inner_text()
    documents.nth(0).locator("summary").click()
    passages = documents.nth(0).locator(".passage")
    passages.first.wait_for()
    before = passages.count()
    assert before > 50
    page.fill("input[type=search]", "sanctions")
    found = passages.count()
    assert 0 < found < before
    assert all("sanctions" in passages.nth(index).inner_text().lower() for index in range(found))
    page.fill("input[type=search]", "")
    page.locator("#least").evaluate("slider => { slider.value = 0.9; slider.oninput(); }")
    assert passages.count() < before
    page.locator("#least").evaluate("slider => { slider.value = 0; slider.oninput(); }")
    page.locator("input[type=checkbox]").nth(0).uncheck()
    assert passages.count() < before


def test_the_documentation_works_offline(page: Any, running: "Running", service_settings: Settings) -> None:
    """/docs lists every route, from this server alone."""
    with running(service_settings) as address:
        page.goto(f"{address}/docs")
        page.wait_for_selector(".opblock")
        shown = page.inner_text("body")
    for path in ("/v1/tag", "/v1/documents", "/v1/tag/stream", "/v1/tags", "/v1/model", "/health/ready", "/metrics"):
        assert path in shown


def test_rows_to_label(quick_bundle: Path, tmp_path: Path, root: Path) -> None:
    """--to-labels writes the chosen passages with what the model suggests; another file is refused."""
    out, labels = tmp_path / "scores.jsonl", tmp_path / "labels.jsonl"
    score([str(root / "seeds"), "-o", str(out), "--bundle", str(quick_bundle)])
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert summary([str(out), "--tag", "advocacy_call", "--min-score", "0.6", "--to-labels", str(labels)]) == 0
    found = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
    wanted = [
        row for row in rows if "advocacy_call" in [*row["tags"], *row["review"]] and row["scores"]["advocacy_call"] >= 0.6
    ]
    assert [(one["document"], one["start"], one["text"]) for one in found] == [
        (r["document"], r["start"], r["text"]) for r in wanted
    ]
    assert found[0]["suggested"] == wanted[0]["tags"]
    (tmp_path / "other.csv").write_text("a,b\n", encoding="utf-8")
    assert summary([str(tmp_path / "other.csv")]) == 2
