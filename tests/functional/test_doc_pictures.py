"""The pictures of the README and of the site are there, small, and show what is printed today."""

from __future__ import annotations

import html
import re

import pytest
from PIL import Image

from docs import make_pictures as pictures
from qdebug.run.model import Run
from tests.conftest import ROOT

MOST_BYTES = 400_000
"""All pictures together, by judgement: the repository stays small."""


@pytest.fixture(scope="module")
def run() -> Run:
    return pictures.compared()


def _words(svg: str) -> str:
    """The text of a screenshot without its numbers, which differ between processors."""
    text = html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg)))
    return " ".join(re.sub(r"[-\d.]+|[▁-█─]+", "", text.replace("\xa0", " ")).split())


def test_every_picture_that_is_shown_is_there_and_small() -> None:
    shown = set(re.findall(r"docs/pictures/([\w.-]+)", (ROOT / "README.md").read_text("utf-8")))
    for page in (ROOT / "docs").glob("*.md"):
        shown |= set(re.findall(r"\(pictures/([\w.-]+)\)", page.read_text("utf-8")))
    there = {path.name: path.stat().st_size for path in pictures.FOLDER.iterdir()}
    assert shown == set(there)
    assert sum(there.values()) < MOST_BYTES


def test_the_drawing_of_the_gates_is_of_the_gates() -> None:
    assert (pictures.FOLDER / pictures.GATES).read_text("utf-8") == pictures.gates_picture()


@pytest.mark.slow
def test_the_browser_still_looks_so(run: Run) -> None:
    kept = (pictures.FOLDER / pictures.BROWSER).read_text("utf-8")
    assert re.findall(r"url\(\W?http", kept) == [], "it would load a font"
    assert _words(kept) == _words(pictures.browser_picture(run)), "run python -m docs.make_pictures"


@pytest.mark.parametrize("name", [pictures.BOXES, pictures.REPORT])
def test_a_picture_can_be_read(name: str) -> None:
    with Image.open(pictures.FOLDER / name) as image:
        image.load()
        assert image.width >= 600
