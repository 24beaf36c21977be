"""Heat maps and scatter of the few kept values."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from qdebug.reporters.crops import shown_crop
from qdebug.reporters.html import html
from qdebug.reporters.html.page import render_page
from qdebug.run.crops import CROPS_NPZ, Crop, CropValues, crops_to_bytes
from qdebug.run.files import MemoryFiles
from qdebug.run.model import Layer, Run
from qdebug.run.store import load_run
from tests.support import HOSTILE_NAMES, synthetic_run
from tests.support.page import Page
from tests.support.synthetic_extras import with_crops


def cropped(f: np.ndarray, q: np.ndarray, crop: Crop, axis: int | None) -> tuple[Run, Layer]:
    run = synthetic_run(10, samples=1)
    values = CropValues(np.asarray(f, np.float32), np.asarray(q, np.float32))
    layer = dataclasses.replace(run.layers[2], crop=crop, channel_axis=axis)
    files = MemoryFiles({CROPS_NPZ: crops_to_bytes({2: values})})
    return dataclasses.replace(run, files=files), layer


class TestWhatIsDrawn:
    def test_channels_of_a_table_are_drawn_in_shares_of_their_own(self) -> None:
        f = np.array([[600.0, 300.0], [0.5, 0.25]])
        q = np.array([[600.0, 300.0], [0.0, 0.0]])
        shown = shown_crop(*cropped(f, q, Crop("a", (0, 0, 9), (1, 2, 2)), 1))
        assert shown is not None
        assert shown.reference.tolist() == [[1, 0.5], [1, 0.5]]
        assert shown.difference.tolist() == [[0, 0], [-1, -0.5]]
        assert shown.largest_difference == 1
        assert shown.where == "channels 0 to 1, axis 2: 9 to 10, sample a"
        assert "each channel (row)" in shown.scale

    def test_columns_may_be_the_channels(self) -> None:
        f = np.array([[600.0, 0.5]] * 3)
        shown = shown_crop(*cropped(f, f, Crop("a", (0, 0, 4), (1, 3, 2)), 2))
        assert shown is not None
        assert shown.reference.tolist() == [[1, 1]] * 3
        assert "each channel (column)" in shown.scale

    def test_one_channel_has_one_scale(self) -> None:
        f = np.array([[-4.0, 2.0]] * 2)
        shown = shown_crop(*cropped(f, f / 2, Crop("a", (0, 3, 8, 0), (1, 1, 2, 2)), 1))
        assert shown is not None
        assert shown.reference[0].tolist() == [-1, 0.5]
        assert shown.scale == "-4 to 4"
        assert shown.where == "channel 3, axis 2: 8 to 9, axis 3: 0 to 1, sample a"

    def test_a_vector_is_folded_and_values_stay_in_their_places(self) -> None:
        f = np.arange(100.0)[None]
        shown = shown_crop(*cropped(f, f, Crop("a", (0, 0), (1, 100)), 1))
        assert shown is not None
        assert shown.reference.shape == (2, 64)
        assert np.isnan(shown.reference[1, 36:]).all()
        assert shown.folded_values[0][1, 0] == 64
        assert shown.density(8).sum() == 100

    def test_zeros_and_values_that_are_not_finite(self) -> None:
        f = np.array([[0.0, np.inf], [np.nan, 0.0]])
        shown = shown_crop(*cropped(f, f, Crop("a", (0, 0, 0, 0), (1, 1, 2, 2)), 1))
        assert shown is not None
        assert shown.largest_difference == 0
        assert shown.density(8).sum() == 2

    def test_density_has_quant_upwards(self) -> None:
        shown = shown_crop(
            *cropped(np.array([[1.0, -1.0]] * 2), np.array([[-1.0, -1.0]] * 2),
                     Crop("a", (0, 0, 0, 0), (1, 1, 2, 2)), 1)
        )  # fmt: skip
        assert shown is not None
        counts = shown.density(2)
        assert counts.tolist() == [[0, 0], [2, 2]]


class TestInThePage:
    def test_in_the_card_and_with_the_finding_that_names_the_layer(self) -> None:
        run = synthetic_run(60, samples=2)
        named = next(f for f in run.findings if f.status == "fail" and f.layers).layers[0]
        source = html.render(with_crops(run, named))
        card = source[source.index(f'id="layer-{named}"') :]
        figure = card[card.index('class="pictures crop"') :].split("</figure>")[0]
        assert re.findall("<span>([^<,]*)", figure)[:3] == ["float", "quant", "difference"]
        assert "equal on the dashed line" in figure
        assert source.count('class="pictures crop"') == 2
        assert source.count('image-rendering="pixelated"') == 4

    def test_a_run_without_is_shown_as_before(self) -> None:
        assert "pictures crop" not in html.render(synthetic_run(30, samples=2))

    @pytest.mark.parametrize("name", HOSTILE_NAMES)
    def test_hostile_sample_names(self, name: str) -> None:
        run = with_crops(synthetic_run(10, samples=1), 2)
        crop = run.layers[2].crop
        assert crop is not None
        layers = list(run.layers)
        layers[2] = dataclasses.replace(layers[2], crop=dataclasses.replace(crop, sample=name))
        source = html.render(dataclasses.replace(run, layers=tuple(layers)))
        page = Page.parse(source)
        assert "<img src=x" not in source
        assert "alert(1)</script>" not in source
        assert "\x1b" not in page.text
        assert "\u202e" not in page.text

    def test_damage_is_told_and_the_rest_is_there(self) -> None:
        run = with_crops(synthetic_run(10, samples=1), 2)
        files = {name: run.files.read(name) for name in run.files.names()}
        files[CROPS_NPZ] = files[CROPS_NPZ][:100]
        source = html.render(dataclasses.replace(run, files=MemoryFiles(files)))
        assert "crops.npz is damaged" in source
        assert 'id="reproduce"' in source

    def test_the_page_can_be_opened_as_the_run_again(self, tmp_path: Path) -> None:
        run = with_crops(synthetic_run(30, samples=2), 4)
        (tmp_path / "r.html").write_text(html.render(run), encoding="utf-8")
        again = load_run(tmp_path / "r.html")
        assert again.layers[4].crop == run.layers[4].crop
        shown = shown_crop(again, again.layers[4])
        assert shown is not None

    def test_a_page_that_must_be_small_leaves_the_values_out(self, tmp_path: Path) -> None:
        run = with_crops(synthetic_run(30, samples=2), 4)
        (tmp_path / "r.html").write_text(render_page(run, 1000), encoding="utf-8")
        again = load_run(tmp_path / "r.html")
        assert again.layers[4].crop is None
        assert "the few values of layers that findings name" in " ".join(again.notes)
