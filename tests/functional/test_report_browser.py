"""The HTML report in a real browser: no network, no complaint, complete without JavaScript."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qdebug.reporters.html import html
from qdebug.run.model import Run
from tests.support import chromium, synthetic_run
from tests.support.page import Page

BROWSER = chromium.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason=f"no browser on this machine ({', '.join(chromium.NAMES)})"
    ),
]


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run(300, samples=4, hostile_names=True)


@pytest.fixture(scope="module")
def report(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(html.render(run), encoding="utf-8", newline="\n")
    return file


def _visit(report: Path, scratch: Path, *options: str, fragment: str = "") -> chromium.Visit:
    assert BROWSER is not None
    return chromium.visit(BROWSER, report, scratch, *options, fragment=fragment)


def test_it_asks_for_nothing_and_complains_of_nothing(
    run: Run, report: Path, tmp_path: Path
) -> None:
    seen = _visit(report, tmp_path, "--dump-dom")
    assert seen.console == ()
    assert seen.requests == ()
    assert 'data-ready="' in seen.output
    assert f"{len(run.layers)} of {len(run.layers)} layers" in seen.output
    shown = seen.output
    blocks = len(re.findall(r"<pre\b", shown))
    assert blocks > 0
    assert len(re.findall(r'<div class="coded">', shown)) == blocks


def test_a_link_to_any_layer_opens_its_card(run: Run, report: Path, tmp_path: Path) -> None:
    plain = report.read_text(encoding="utf-8")
    index = next(x.index for x in run.layers if f'id="layer-{x.index}"' not in plain)
    seen = _visit(report, tmp_path, "--dump-dom", fragment=f"layer-{index}")
    assert f'id="layer-{index}"' in seen.output
    assert seen.console == ()


def test_without_javascript_everything_is_there(run: Run, report: Path, tmp_path: Path) -> None:
    """Its scripts taken out: Chromium with scripting off can neither dump nor draw."""
    plain = tmp_path / "plain.html"
    source = report.read_text(encoding="utf-8")
    plain.write_text(re.sub(r"<script>.*?</script>", "", source, flags=re.DOTALL), "utf-8")
    seen = _visit(plain, tmp_path, "--dump-dom")
    assert "data-ready" not in seen.output
    assert seen.console == ()
    text = Page.parse(seen.output).text
    assert [finding.id for finding in run.findings if finding.id not in text] == []
    assert len(re.findall(r'<details class="module"', seen.output)) > 1
    assert len(re.findall(r'<svg[^>]*class="figure graph module"', seen.output)) > 1


def test_it_prints(report: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.pdf"
    seen = _visit(report, tmp_path, f"--print-to-pdf={target}")
    data = target.read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) >= 2
    assert seen.console == ()


@pytest.mark.parametrize("width", [1280, 500])
def test_nothing_but_wide_tables_and_figures_scrolls_sideways(
    width: int, report: Path, tmp_path: Path
) -> None:
    """The page itself stays as wide as the window (500 px are Chromium's least)."""
    probe = tmp_path / "probe.html"
    source = report.read_text(encoding="utf-8")
    source = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    too_wide = "document.documentElement.scrollWidth - innerWidth"
    measure = f"<script>document.title = 'wide ' + ({too_wide})</script>"
    probe.write_text(source.replace("</body>", f"{measure}</body>"), encoding="utf-8")
    seen = _visit(probe, tmp_path, "--dump-dom", f"--window-size={width},900")
    found = re.search(r"<title>wide (-?\d+)</title>", seen.output)
    assert found is not None
    assert int(found[1]) <= 0


def test_on_paper_tables_keep_their_headings_and_fit(report: Path, tmp_path: Path) -> None:
    """What is printed, shown on a screen as wide as a sheet of A4 within its margins."""
    probe = tmp_path / "paper.html"
    source = report.read_text(encoding="utf-8").replace("@media print", "@media all")
    source = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    measure = """<script>addEventListener("load", () => setTimeout(() => {
      const heads = [...document.querySelectorAll("#layer-table thead button")];
      const page = document.documentElement;
      document.title = `heads ${heads.filter((x) => x.offsetHeight).length} of ${heads.length}, `
        + `table ${document.getElementById("layer-table").offsetWidth - page.clientWidth}`;
    }, 500))</script>"""
    probe.write_text(source.replace("</body>", f"{measure}</body>"), encoding="utf-8")
    seen = _visit(probe, tmp_path, "--dump-dom", "--window-size=720,900")
    found = re.search(r"<title>heads (\d+) of (\d+), table (-?\d+)</title>", seen.output)
    assert found is not None
    assert 0 < int(found[1]) == int(found[2]) - 1  # there is no board
    assert int(found[3]) <= 0


def test_the_log_tells_what_a_page_asks_for(tmp_path: Path) -> None:
    """The control: a page that loads and complains is seen to."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<img src='http://127.0.0.1:9/x.png'><script>console.error('oops')</script>", "utf-8"
    )
    seen = _visit(page, tmp_path)
    assert seen.requests == ("http://127.0.0.1:9/x.png",)
    assert any("oops" in line for line in seen.console)
