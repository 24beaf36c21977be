"""The HTML report: complete without JavaScript, safe with any name, small, and loadable."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qdebug.metrics.metric import METRICS
from qdebug.reporters.html import html, notebook
from qdebug.reporters.html.evidence import table
from qdebug.reporters.html.page import MAX_BYTES, render_page
from qdebug.run.files import MemoryFiles
from qdebug.run.model import Evidence, Run, Status
from qdebug.run.store import load_run, run_to_json
from qdebug.vocabulary.names import visible
from qdebug.vocabulary.numbers import decibel
from tests.conftest import Golden
from tests.support import synthetic_run
from tests.support.page import Page


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic_run(60, samples=4)


@pytest.fixture(scope="module")
def source(run: Run) -> str:
    return html.render(run)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page.parse(source)


def with_evidence(run: Run, *evidence: Evidence) -> Run:
    first, *rest = run.findings
    return dataclasses.replace(run, findings=(dataclasses.replace(first, evidence=evidence), *rest))


def _with_a_broken_chunk() -> bytes:
    """A PNG whose second part has a name that no part has: Pillow calls that a SyntaxError."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue().replace(b"IDAT", b"g\xd6qi")


class TestWithoutJavaScript:
    def test_the_verdict_comes_first_and_every_finding_is_there(self, run: Run, page: Page) -> None:
        text = page.text
        assert "FAIL" in page.texts[:6]
        assert text.index(run.verdict.reason) < text.index("Findings")
        for finding in run.findings:
            assert finding.id in text
            assert finding.title in text
            assert finding.seen in text

    def test_sections_in_order(self, page: Page) -> None:
        ids = page.attributes("id")
        wanted = ["findings", "input", "network", "layers", "cards", "samples", "reproduce"]
        assert [item for item in ids if item in wanted] == wanted

    def test_gates_stand_before_the_findings(self, page: Page) -> None:
        at = page.texts.index("int8")
        assert page.texts[at + 1] == "✗ failed"
        assert page.texts[at - 2 : at] == ["16-bit ceiling", "· not checked"]

    def test_the_fifty_most_telling_layers_are_rows(self, page: Page) -> None:
        assert "The 50 most telling of 60 layers" in page.text
        cells = [given for tag, given in page.elements if tag == "tr" and "class" in given]
        assert {"bad", "warn", ""} <= {given["class"] for given in cells}
        assert sum(given["class"] in ("bad", "warn", "") for given in cells) == 50

    def test_every_layer_of_a_finding_has_a_card(self, run: Run, page: Page) -> None:
        ids = set(page.attributes("id"))
        for finding in run.findings:
            if finding.status in ("fail", "warn"):
                assert {f"layer-{index}" for index in finding.layers} <= ids

    def test_links_lead_somewhere(self, page: Page) -> None:
        ids = set(page.attributes("id"))
        assert {target.removeprefix("#") for target in page.attributes("href")
                if target.startswith("#")} <= ids  # fmt: skip

    def test_how_to_reproduce(self, run: Run, page: Page) -> None:
        for part in ("qdebug compare yolo.onnx yolo_int8.onnx shots", run.models.quant.sha256,
                     "avx2 avx512_vnni", "10 log₁₀(Σf² / Σe²), dB", "folded into a constant",
                     run.samples[0].sha256, "at least 20 (qdebug.toml)"):  # fmt: skip
            assert part in page.text

    def test_the_text_of_a_small_report(self, golden: Golden) -> None:
        small = Page.parse(html.render(synthetic_run(3, samples=2, input_failed=True)))
        told = "\n".join(small.texts) + "\n"
        for metric in METRICS.values():
            told = told.replace(f"{metric.title}\n{metric.meaning}; not measured in this run\n", "")
        golden("reporters/report.html.txt", told)


class TestPage:
    def test_markup_is_balanced_and_ids_are_unique(self, page: Page) -> None:
        assert page.unbalanced == []
        ids = page.attributes("id")
        assert len(ids) == len(set(ids))

    def test_nothing_is_loaded_from_elsewhere(self, page: Page) -> None:
        for name in ("src", "href", "action", "poster", "srcset"):
            for target in page.attributes(name):
                assert target.startswith(("#", "data:image/")), target
        assert "@import" not in page.text
        assert all(tag not in ("link", "iframe", "object", "embed") for tag, _ in page.elements)

    def test_the_policy_allows_exactly_the_pages_own_scripts_and_style(self, source: str) -> None:
        page = Page.parse(source)
        policy = next(
            given["content"] or "" for tag, given in page.elements
            if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy"
        )  # fmt: skip
        code = [content for given, content in page.scripts if "type" not in given]
        style = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
        for content in (*code, *style):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
        assert policy.count("sha256-") == len(code) + len(style) == 5
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy

    def test_nothing_is_styled_by_attribute(self, page: Page) -> None:
        assert page.attributes("style") == []

    def test_figures_have_names_and_presentation_attributes(self, page: Page) -> None:
        figures = [given for tag, given in page.elements if tag == "svg" and given.get("role")]
        assert len(figures) > 10
        assert all(given["role"] in ("img", "group") and given["aria-label"] for given in figures)
        shapes = [given for tag, given in page.elements if tag in ("path", "line", "rect")]
        assert all("fill" in given or "stroke" in given for given in shapes)

    def test_the_same_run_gives_the_same_bytes(self, source: str) -> None:
        assert html.render(synthetic_run(60, samples=4)) == source


class TestHostileNames:
    @pytest.fixture(scope="class")
    def hostile(self) -> Run:
        return synthetic_run(60, samples=26, hostile_names=True)

    def test_no_name_becomes_markup(self, hostile: Run) -> None:
        page = Page.parse(html.render(hostile))
        assert page.unbalanced == []
        assert len(page.scripts) == 6
        assert all(tag != "img" for tag, _ in page.elements)
        handlers = [key for _, given in page.elements for key in given if key.startswith("on")]
        assert handlers == []

    def test_every_shown_name_is_spelled_out(self, hostile: Run) -> None:
        page = Page.parse(html.render(hostile))
        text = re.sub(r"\s+", " ", page.text)
        for layer in hostile.layers[-10:]:
            assert re.sub(r"\s+", " ", visible(layer.name, lines=True)).strip() in text
        source = html.render(hostile)
        assert not re.search("[\x00-\x08\x0b-\x1f\u200b\u202e]", source)

    def test_the_embedded_run_keeps_the_names_as_they_are(
        self, hostile: Run, tmp_path: Path
    ) -> None:
        html.write(hostile, tmp_path / "r.html")
        loaded = load_run(tmp_path / "r.html", as_stored=True)
        assert [x.name for x in loaded.layers] == [x.name for x in hostile.layers]
        assert [x.name for x in loaded.samples] == [x.name for x in hostile.samples]

    def test_a_name_that_is_not_utf8(self, run: Run, tmp_path: Path) -> None:
        samples = (dataclasses.replace(run.samples[0], name="caf\udce9.png"), *run.samples[1:])
        odd = dataclasses.replace(run, samples=samples)
        path = html.write(odd, tmp_path / "r.html")
        assert "caf\\udce9.png" in path.read_text(encoding="utf-8")
        assert load_run(path).samples[0].name == "caf\\udce9.png"
        assert load_run(path, as_stored=True).samples[0].name == "caf\udce9.png"

    @pytest.mark.parametrize("attack", ["</script><b>", "<!--<script>", "]]>", "'\"onload=x"])
    def test_evidence_cannot_break_out(self, run: Run, attack: str) -> None:
        evidence = (
            Evidence("text", attack, {"text": attack}),
            Evidence("code", attack, {"language": attack, "text": attack}),
            Evidence("table", attack, {"columns": [attack], "rows": [[attack]]}),
            Evidence("key_values", attack, {"items": [[attack, attack]]}),
            Evidence("bars", attack, {"labels": [attack], "values": [1], "unit": attack}),
            Evidence("images", attack, {"items": [{"label": attack, "path": attack}]}),
        )
        page = Page.parse(html.render(with_evidence(run, *evidence)))
        assert page.unbalanced == []
        assert page.text.count(attack) >= 12
        assert len(page.scripts) == 6


class TestEmbeddedRun:
    def test_the_page_loads_as_the_run(self, run: Run, tmp_path: Path) -> None:
        path = html.write(run, tmp_path / "r.html")
        loaded = load_run(path)
        told = (*run.notes, "embedded in a report without kept tensors")
        layers = tuple(dataclasses.replace(layer, kept=False) for layer in run.layers)
        expected = dataclasses.replace(run, layers=layers, notes=told)
        assert run_to_json(loaded) == run_to_json(expected)
        assert loaded.arrays.to_bytes() == run.arrays.to_bytes()
        pictures = [name for name in run.files.names() if name.startswith("thumbs/")]
        for name in pictures:
            assert loaded.files.read(name) == run.files.read(name)

    def test_a_report_of_a_loaded_report_is_the_same_but_for_the_note(
        self, run: Run, tmp_path: Path
    ) -> None:
        first = html.write(run, tmp_path / "a.html")
        second = html.write(load_run(first), tmp_path / "b.html")
        third = html.write(load_run(second), tmp_path / "c.html")
        assert second.read_bytes() == third.read_bytes()

    def test_what_does_not_fit_is_left_out_and_named(self, run: Run, tmp_path: Path) -> None:
        whole = len(render_page(run).encode())
        least = len(render_page(run, 0).encode())
        assert least < whole
        text = render_page(run, (whole + least) // 2)
        assert len(text.encode()) <= (whole + least) // 2
        path = tmp_path / "r.html"
        path.write_text(text, encoding="utf-8")
        loaded = load_run(path)
        assert "leaves out kept tensors; histograms and channels" in Page.parse(text).text
        assert any("histograms and channels" in note for note in loaded.notes)
        assert [layer.name for layer in loaded.layers] == [layer.name for layer in run.layers]
        carded = loaded.layers[-1].index
        found, full = loaded.arrays.histogram(carded), run.arrays.histogram(carded)
        assert found is not None
        assert full is not None
        assert np.array_equal(found.quant, full.quant)
        assert np.array_equal(loaded.arrays.channels(carded)[0], run.arrays.channels(carded)[0])

    @pytest.mark.slow
    def test_five_thousand_layers_stay_below_two_megabytes(self, tmp_path: Path) -> None:
        large = synthetic_run(5000, samples=16)
        path = html.write(large, tmp_path / "r.html")
        assert path.stat().st_size <= MAX_BYTES == 2_000_000
        loaded = load_run(path)
        assert len(loaded.layers) == 5000
        for before, after in zip(large.layers, loaded.layers, strict=True):
            if before.accumulated is not None and before.state == "ok":
                assert after.accumulated is not None
                assert after.accumulated.sqnr_db == pytest.approx(before.accumulated.sqnr_db, 1e-4)
                assert after.accumulated.cosine == pytest.approx(before.accumulated.cosine, 1e-8)


class TestEvidence:
    @pytest.mark.parametrize(
        ("kind", "data"),
        [
            ("table", {"columns": ["a"]}),
            ("table", {"columns": 3, "rows": 4}),
            ("histogram", {"edges": [], "series": {}}),
            ("histogram", {"edges": [0, 1], "series": {"float": [1, 2, 3]}}),
            ("bars", {"labels": ["a"], "values": []}),
            ("boxes", {"sample": "s", "image": "thumbs/0000.png", "float": [{}], "quant": []}),
            ("images", {"items": ["x"]}),
            ("code", {}),
            ("text", {}),
        ],
    )
    def test_what_has_another_form_is_shown_as_text(
        self, run: Run, kind: Any, data: dict[str, Any]
    ) -> None:
        page = Page.parse(html.render(with_evidence(run, Evidence(kind, "Odd", data))))
        assert visible(str(data)) in page.text

    def test_numbers_that_are_not_finite(self, run: Run) -> None:
        evidence = (
            Evidence("bars", "B", {"labels": "abcd", "values": ["inf", "nan", None, -2.0]}),
            Evidence("histogram", "H", {"edges": [-1, 0, 1], "series": {"float": [0, "nan"]},
                                        "marks": {"a": "inf", "b": 0.5}}),
            Evidence("table", "T", {"columns": ["x"], "rows": [["inf"], [float("nan")], [None]]}),
        )  # fmt: skip
        source = html.render(with_evidence(run, *evidence))
        page = Page.parse(source)
        drawn = [page.attributes(name) for name in ("d", "x", "y", "x1", "x2", "width", "height")]
        assert not [value for values in drawn for value in values if "n" in value]
        assert page.unbalanced == []

    def test_a_picture_is_embedded_once_however_often_it_shows(self, run: Run) -> None:
        item = {"label": "again", "path": "thumbs/0000.png"}
        shown = with_evidence(run, *[Evidence("images", "P", {"items": [item, item]})] * 3)
        source = html.render(shown)
        assert source.count('data-file="thumbs/0000.png"') == 1
        uses = Page.parse(source)
        picture = next(g["id"] for _, g in uses.elements if g.get("data-file") == "thumbs/0000.png")
        assert uses.attributes("href").count(f"#{picture}") >= 6

    @pytest.mark.parametrize(
        "data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n broken", _with_a_broken_chunk()]
    )
    def test_a_damaged_picture_is_said_to_be_missing(self, run: Run, data: bytes) -> None:
        files = MemoryFiles({"odd.png": data})
        evidence = Evidence("images", "P", {"items": [{"label": "odd", "path": "odd.png"}]})
        odd = dataclasses.replace(with_evidence(run, evidence), files=files)
        assert "not in this run" in Page.parse(html.render(odd)).text

    def test_a_large_picture_is_reduced(self, run: Run) -> None:
        import io

        from PIL import Image

        buffer = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
        Image.fromarray(noise).save(buffer, "PNG")
        files = MemoryFiles({"big.png": buffer.getvalue()})
        evidence = Evidence("images", "P", {"items": [{"label": "big", "path": "big.png"}]})
        page = Page.parse(
            html.render(dataclasses.replace(with_evidence(run, evidence), files=files))
        )
        picture = next(given for _, given in page.elements if given.get("data-file") == "big.png")
        assert (picture["width"], picture["height"]) == ("320", "249")
        assert len(picture["href"] or "") < 120_000

    def test_the_difference_of_the_two_inputs(self) -> None:
        text = Page.parse(html.render(synthetic_run(5, samples=1, input_failed=True))).text
        assert "absolute difference" in text
        assert "≠ differs" in text

    def test_equal_pictures_have_no_difference(self) -> None:
        run = synthetic_run(5, samples=1)
        same = dataclasses.replace(run.samples[0], thumb_quant=run.samples[0].thumb)
        text = Page.parse(html.render(dataclasses.replace(run, samples=(same,)))).text
        assert "the two pictures are equal" in text

    def test_two_findings_of_one_check_have_their_own_anchors(self, run: Run) -> None:
        again = dataclasses.replace(run.findings[0], title="again")
        twice = dataclasses.replace(run, findings=(again, *run.findings))
        ids = Page.parse(html.render(twice)).attributes("id")
        name = run.findings[0].id
        assert [item for item in ids if item.startswith(name)] == [name, f"{name}-2"]


class TestUnusualRuns:
    @pytest.mark.parametrize(
        "options",
        [
            {"layers": 1, "samples": 1},
            {"layers": 45, "local": False, "sensitivity": False},
            {"layers": 45, "sound": True},
            {"layers": 45, "samples": 40},
        ],
    )
    def test_they_render(self, options: dict[str, Any]) -> None:
        page = Page.parse(html.render(synthetic_run(**options)))
        assert page.unbalanced == []

    def test_a_run_with_nothing_compared(self, run: Run) -> None:
        empty = dataclasses.replace(
            run, layers=(), findings=(), outputs=(), samples=(), task=None, files=MemoryFiles()
        )
        page = Page.parse(html.render(empty))
        assert page.unbalanced == []

    @pytest.mark.parametrize(
        ("status", "told"),
        [("pass", "No check found anything wrong."), ("warn", "No check found a cause")],
    )
    def test_no_finding_is_not_called_sound_under_a_bad_verdict(
        self, run: Run, status: Status, told: str
    ) -> None:
        verdict = dataclasses.replace(run.verdict, status=status)
        page = Page.parse(html.render(dataclasses.replace(run, findings=(), verdict=verdict)))
        assert told in page.text


class TestNotebook:
    def test_a_fragment_without_scripts(self, run: Run) -> None:
        page = Page.parse(notebook.render(run))
        assert page.unbalanced == []
        assert page.scripts == []
        assert page.attributes("style") == page.attributes("id") == []
        assert "FAIL" in page.text
        assert "QD301 mixed-range" in page.text
        assert sum(tag == "tr" for tag, _ in page.elements) == 21
        assert "<html" not in notebook.render(run)

    def test_hostile_names(self) -> None:
        page = Page.parse(notebook.render(synthetic_run(40, samples=26, hostile_names=True)))
        assert page.scripts == []
        assert all(tag != "img" for tag, _ in page.elements)


def test_a_column_without_a_name_has_no_empty_heading() -> None:
    made = table(["", "from", "to"], [["fed", 0, 1]])
    assert made.count("<th ") == 2
    assert "<td></td>" in made


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_samples_without_a_finite_number_are_shown(run: Run, value: float) -> None:
    layers = [dataclasses.replace(x, sample_sqnr_db=(value,) * 4) for x in run.layers]
    source = html.render(dataclasses.replace(run, layers=tuple(layers)))
    assert decibel(value) in source
