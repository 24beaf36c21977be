"""Makes the pictures of the README and of the site, from the sample models and from the gates.

    python -m docs.make_pictures

Needs Chromium, and takes about half a minute. The pictures are made again whenever the browser or
the report looks otherwise; a test makes the browser's afresh and holds its words against the file.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qdebug.run.model import Gate, Run
from qdebug.run.outcome import outcome_of
from tests.support import chromium

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qdebug.tui.app import Browser

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
BROWSER, BOXES, REPORT = "browser.svg", "lost-boxes.webp", "report.webp"
GATES = "gates.svg"
_QUESTIONS: Mapping[Gate, tuple[str, str]] = {
    "input": ("Are both models fed what the float model was trained on?", "mend the preprocessing"),
    "float": ("Does the float graph do its task?", "mend the export; it is not the bits"),
    "ceiling": ("Would 16 bits be enough?", "8 bits cannot be; look at the operators"),
    "int8": ("Does the int8 graph hold?", "read the findings, sources first"),
    "board": (
        "Does the device compute the same?",
        "cut the layer out for its maker",
    ),
    "output": ("Is the output read as it is meant?", "mend scales, layout or decoding behind it"),
}
"""What a gate asks, and what to do where the answer is no."""
_REPORT_SIZE, _BOXES_SIZE = (1100, 900), (640, 436)
_QUALITY = 80


def compared() -> Run:
    """The comparison that the README begins with."""
    import qdebug

    models = ROOT / "sample_models"
    detector = models / "detector"
    return qdebug.compare(
        detector / "float.onnx", detector / "int8_naive.onnx", models / "pictures" / "scenes"
    )


def browser_picture(run: Run) -> str:
    """The terminal browser as it opens, as SVG that loads nothing."""
    from qdebug.tui.app import Browser
    from qdebug.tui.glyphs import UNICODE
    from qdebug.tui.settings import Settings

    app = Browser(run, (), Settings(), UNICODE, {})

    async def shoot() -> str:
        async with app.run_test(size=(120, 32)) as pilot:
            await _settled(app, pilot)
            return app.export_screenshot(title="qdebug browse int8_naive.qdrun")

    drawn = asyncio.run(shoot())
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    return re.sub(r"terminal-\d+", "terminal", drawn)  # a number that differs each time


async def _settled(app: Browser, pilot: Pilot[None]) -> None:
    while app.page is None:
        await pilot.pause(0.01)
    await app.workers.wait_for_complete()
    app.clear_notifications()
    await pilot.pause()


def boxes_page(run: Run) -> str:
    """The boxes of both models, as the report shows them, alone on a page."""
    from qdebug.reporters.html.evidence import evidence_html
    from qdebug.reporters.html.page import asset
    from qdebug.reporters.html.pictures import Pictures

    boxes = outcome_of(run).boxes
    if boxes is None:
        raise SystemExit("the run shows no boxes")
    pictures = Pictures(run.files)
    body = evidence_html(boxes, pictures)
    definitions = "".join(picture.definition for picture in pictures.shown.values())
    return (
        f"<!doctype html><meta charset=utf-8><style>{asset('style.css')}</style>"
        f"{body}<svg width=0 height=0><defs>{definitions}</defs></svg>"
    )


def gates_picture() -> str:
    """The gates from top to bottom, with what to do where one fails."""
    font = 'font-family="system-ui, sans-serif"'
    rows = []
    for place, (gate, (question, remedy)) in enumerate(_QUESTIONS.items()):
        y = 10 + 66 * place
        rows.append(
            f'<rect x="10" y="{y}" width="470" height="46" rx="6" fill="#eef4fb" stroke="#0b5cad"/>'
            f'<text x="24" y="{y + 19}" font-size="14" font-weight="bold" fill="#0b5cad" {font}>'
            f"{place + 1} {gate}</text>"
            f'<text x="24" y="{y + 37}" font-size="13" fill="#1c2128" {font}>{question}</text>'
            f'<path d="M480 {y + 23}h44" stroke="#b42318" marker-end="url(#to)"/>'
            f'<text x="490" y="{y + 17}" font-size="12" fill="#b42318" {font}>no</text>'
            f'<text x="536" y="{y + 27}" font-size="13" fill="#1c2128" {font}>{remedy}</text>'
            f'<path d="M245 {y + 46}v16" stroke="#59636e" marker-end="url(#to)"/>'
            f'<text x="253" y="{y + 60}" font-size="12" fill="#59636e" {font}>yes</text>'
        )
    end = 10 + 66 * len(_QUESTIONS)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 {end + 34}" role="img" '
        'aria-label="The gates in their order; the first that fails is where to work">'
        '<defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0l8 4l-8 4z" fill="#59636e"/></marker></defs>'
        f'<rect width="820" height="{end + 34}" fill="#ffffff"/>{"".join(rows)}'
        f'<text x="245" y="{end + 20}" font-size="14" text-anchor="middle" fill="#0f766e" {font}>'
        "pass</text></svg>\n"
    )


def _shoot(browser: str, page: Path, scratch: Path, size: tuple[int, int], target: Path) -> None:
    from PIL import Image

    shot = scratch / "shot.png"
    chromium.picture(browser, page, scratch, shot, size)
    with Image.open(shot) as image:
        image.convert("RGB").save(target, quality=_QUALITY, method=6)


def main() -> int:
    """Make them all."""
    browser = chromium.find()
    if browser is None:
        sys.stderr.write(f"no browser found ({', '.join(chromium.NAMES)})\n")
        return 2
    run = compared()
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / GATES).write_text(gates_picture(), encoding="utf-8")
    (FOLDER / BROWSER).write_text(browser_picture(run), encoding="utf-8")
    with tempfile.TemporaryDirectory() as made:
        scratch = Path(made)
        page = run.to_html(scratch / "report.html")
        _shoot(browser, page, scratch, _REPORT_SIZE, FOLDER / REPORT)
        boxes = scratch / "boxes.html"
        boxes.write_text(boxes_page(run), encoding="utf-8")
        _shoot(browser, boxes, scratch, _BOXES_SIZE, FOLDER / BOXES)
    for path in sorted(FOLDER.iterdir()):
        sys.stdout.write(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1024} KiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
