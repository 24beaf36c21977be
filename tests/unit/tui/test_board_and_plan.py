"""What only some runs have: a crop in the tensor tab, a board, the plan of a tuning."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from qdebug.run.crops import CROPS_NPZ
from qdebug.run.draft import Draft
from qdebug.run.files import MemoryFiles
from qdebug.run.model import Run
from tests.support import HOSTILE_NAMES, synthetic_run
from tests.support.synthetic_extras import BOARD_DB, with_board, with_crops, with_tuning
from tests.unit.tui.conftest import Open, browser, here, layers_page, notes, screen_text, settle


@pytest.fixture(scope="module")
def plain() -> Run:
    return synthetic_run(layers=40, samples=2, kept=0)


async def test_the_tensor_tab_shows_the_crop_where_no_tensors_were_kept(
    browse: Open, plain: Run
) -> None:
    async with browse(with_crops(plain, 4)) as pilot:
        layers_page(pilot).go_to(4)
        await pilot.press("shift+tab", "enter")
        await settle(pilot)
        text = screen_text(pilot)
        assert "a crop: channels 0 to 7, axis 2: 0 to 39" in text
        assert "each channel (row) in shares of its largest value" in text
        assert "row 0, column 0" in text
        await pilot.press("ctrl+right")
        await settle(pilot)
        assert "row 0, column 1" in screen_text(pilot)
        await pilot.press("v")
        await settle(pilot)
        assert "320 of 320 values" in screen_text(pilot)


async def test_a_damaged_crop_is_told(browse: Open, plain: Run) -> None:
    run = with_crops(plain, 4)
    files = {name: run.files.read(name) for name in run.files.names()} | {CROPS_NPZ: b"PK"}
    async with browse(dataclasses.replace(run, files=MemoryFiles(files))) as pilot:
        layers_page(pilot).go_to(4)
        await pilot.press("shift+tab")
        await settle(pilot)
        assert "crops.npz is damaged" in screen_text(pilot)
        await pilot.press("tab")
        assert "accumulated" in screen_text(pilot)


async def test_the_board_is_a_column_a_strip_and_a_filter(browse: Open, plain: Run) -> None:
    async with browse(with_board(plain)) as pilot:
        assert here(pilot) == 5
        text = screen_text(pilot)
        assert "Board fault; in simulation" in text.splitlines()[0]
        head = next(line for line in text.splitlines() if "layer" in line and "accum" in line)
        assert "board" in head
        assert any(line.startswith(" board ") for line in text.splitlines())
        assert f"against simulation {BOARD_DB} dB" in text
        assert "_si8" in text
        await pilot.press("slash", *"board<20", "enter")
        assert layers_page(pilot).rows.shown == 1


async def test_without_a_board_there_is_no_column(browse: Open, plain: Run) -> None:
    async with browse(plain) as pilot:
        assert "board" not in screen_text(pilot)


async def test_comparing_two_boards(browse: Open, plain: Run) -> None:
    """A new build changes nothing but the board: the layer that got worse comes first."""
    from qdebug.run.diff import diff_runs
    from qdebug.tui.pages.compare import DiffTable

    sound = with_board(plain, at=9)
    async with browse(sound) as pilot:
        table = DiffTable(browser(pilot).look, diff_runs(sound, with_board(plain, at=5)).layers)
    first = table.current
    assert first is not None
    assert {first.new, table.pairs[table.order[1]].new} == {5, 9}
    assert [c.key for c in table.columns() if c.key.startswith("board")] == [
        "board.old",
        "board.new",
        "board.delta",
    ]


async def test_the_plan_is_the_first_screen_of_a_tuning(browse: Open, plain: Run) -> None:
    async with browse(with_tuning(plain, has_units=False)) as pilot:
        text = screen_text(pilot)
        assert "7 Plan" in text
        assert "tuned: f1 from 0.200 to 0.900" in text
        assert text.index("16 bits for what is broken") < text.index("bias correction")
        assert "+13.5 dB measured, +12.0 dB predicted" in text
        assert "refused: worse held out" in text
        assert "the prediction failed" in text
        assert "share per MAC" in text
        assert "KL (chosen)" in text
        assert "onnx: tuned.onnx" in text
        assert "2 of 3 cures accepted" in text
        await pilot.press("y")
        await pilot.press("1", "7", "question_mark")
        assert "copy the plan as Markdown" in screen_text(pilot)
        await pilot.press("escape", "escape")
        assert "#" in screen_text(pilot)


async def test_cures_and_units_are_switched_and_foretold(browse: Open, plain: Run) -> None:
    asked: list[tuple[float, str]] = []

    def apply(run: Run, draft: Draft, record: Path | None, output: Path) -> Path:
        asked.append((draft.loss, output.name))
        return output

    async with browse(with_tuning(plain)) as pilot:
        browser(pilot).apply = apply
        assert "As proven: loss 1.60e-02 predicted" in screen_text(pilot)
        await pilot.press("a")
        assert "nothing is switched" in notes(pilot)
        await pilot.press("j", "space")  # the refused bias correction
        assert "it was refused, and is not kept" in notes(pilot)
        await pilot.press("k", "space")
        assert "Foretold: loss 3.50e-02 predicted" in screen_text(pilot)
        assert "0 units at more bits" in screen_text(pilot)
        await pilot.press("a", *"2", "enter")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        [(loss, name)] = asked
        assert loss == pytest.approx(0.035)
        assert name.endswith("_plan.onnx2")
        await pilot.press("r")
        assert "As proven" in screen_text(pilot)
        await pilot.press("G", "space")  # the last unit
        assert "2 units at more bits" in screen_text(pilot)


async def test_a_record_of_an_earlier_version_has_nothing_to_switch(
    browse: Open, plain: Run
) -> None:
    async with browse(with_tuning(plain, has_units=False)) as pilot:
        await pilot.press("space", "a", "r", "J")
        assert "the record holds no units to switch" in notes(pilot)


@pytest.mark.parametrize("name", HOSTILE_NAMES[::4])
async def test_hostile_names_in_a_plan_and_of_a_dump(browse: Open, plain: Run, name: str) -> None:
    """A sample of them: `test_text` has them all through what makes every text harmless."""
    form = name.replace("{", "(").replace("}", ")") + " {}"
    run = with_tuning(with_board(plain, name=name, tensor=form), unit=name)
    async with browse(run) as pilot:
        for key in ("7", "y", "1"):
            await pilot.press(key)
        text = screen_text(pilot)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert not browser(pilot)._notifications or "failed" not in text
