"""The layers screen driven by its keys: moving, filtering, jumping, the detail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from textual import events
from textual.pilot import Pilot

from qdebug.run.files import MemoryFiles
from qdebug.run.model import Run
from qdebug.tui.detail import TAB_NAMES, TABS
from qdebug.tui.filter_bar import FilterBar, FilterInput
from tests.support.synthetic import synthetic_run
from tests.unit.tui.conftest import Open, browser, here, layers_page, screen_text, settle


async def test_moving_updates_the_detail(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g", "j", "j", "k")
        assert here(pilot) == 1
        assert f"#1 {run.layers[1].op}" in screen_text(pilot)
        await pilot.press("G")
        assert here(pilot) == run.layers[-1].index
        await pilot.press("pageup", "pagedown", "home")
        assert here(pilot) == 0


async def test_a_filter_works_as_it_is_typed_and_escape_peels(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        expected = sum(layer.op == "Conv" for layer in run.layers)
        await pilot.press("slash", *"op:Conv")
        await pilot.pause()
        assert f"{expected} of {len(run.layers)}" in screen_text(pilot)
        await pilot.press("enter")
        assert "op:Conv" in screen_text(pilot)
        await pilot.press("enter")
        assert layers_page(pilot).has_class("zoomed")
        await pilot.press("escape")
        assert not layers_page(pilot).has_class("zoomed")
        assert layers_page(pilot).rows.shown == expected
        await pilot.press("escape")
        assert layers_page(pilot).rows.shown == len(run.layers)


async def test_escape_while_typing_restores_the_filter_before(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("slash", *"op:Add", "enter", "slash", *" cv1", "escape")
        assert layers_page(pilot).rows.filter.text == "op:Add"
        assert pilot.app.focused is layers_page(pilot).table


async def test_a_wrong_word_is_named_and_the_list_stays(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("slash", *"sqrn<3")
        await pilot.pause()
        text = screen_text(pilot)
        assert "there is no field 'sqrn'" in text
        assert "did you mean sqnr" in text
        assert layers_page(pilot).rows.shown == len(run.layers)


async def test_a_field_being_typed_is_not_looked_for_as_text(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("slash")
        for character in "op:Conv sqnr<":
            await pilot.press("space" if character == " " else character)
            await pilot.pause()
            assert layers_page(pilot).rows.shown > 0


async def test_words_are_completed(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("slash", *"state:zero_q")
        await pilot.pause()
        await pilot.press("tab")
        assert layers_page(pilot).query_one(FilterBar).input.value == "state:zero_quant"


async def test_sources_are_visited_and_backspace_returns(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("F")
        first = here(pilot)
        await pilot.press("n")
        assert here(pilot) > first
        await pilot.press("N")
        assert here(pilot) == first
        await pilot.press("backspace")
        assert here(pilot) > first


async def test_producers_and_consumers_are_followed(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g", "j", "j", "right_square_bracket")
        assert here(pilot) == run.layers[2].outputs[0]
        await pilot.press("left_square_bracket")
        assert here(pilot) in run.layers[run.layers[2].outputs[0]].inputs


async def test_a_jump_to_a_hidden_layer_clears_the_filter(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        page = layers_page(pilot)
        page.filter("op:Concat")
        page.go_to(1)
        assert here(pilot) == 1
        assert page.rows.shown == len(run.layers)


async def test_marks_and_the_outline(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("g", "m", "m", "M")
        assert layers_page(pilot).rows.shown == 2
        await pilot.press("escape", "t", "Z")
        assert layers_page(pilot).rows.row_count < len(run.layers)
        await pilot.press("Z", "t")
        assert layers_page(pilot).rows.row_count == len(run.layers)


async def test_every_tab_shows_something_of_every_layer(browse: Open, run: Run) -> None:
    kept = next(layer.index for layer in run.layers if layer.kept)
    async with browse(run) as pilot:
        detail = layers_page(pilot).detail
        for tab in TABS:
            detail.choose(tab)
            made = [detail._tab_lines(layer, detail.view.room) for layer in run.layers]
            assert all(made), tab
            failed = [x.plain for lines in made for x in lines if "failed on this layer" in x.plain]
            assert failed == []
        shown = set()
        for _ in TAB_NAMES:
            await pilot.press("tab")
            shown.add(detail.tab)
            for row in (kept, len(run.layers) - 1):
                layers_page(pilot).table.move_to(row)
                await settle(pilot)
                assert detail.view.lines
                assert not any("failed on this layer" in x.plain for x in detail.view.lines)
        assert shown == set(TAB_NAMES)


async def test_a_tab_that_fails_says_so_and_the_browser_lives_on(browse: Open, run: Run) -> None:
    broken = dataclasses.replace(run, files=MemoryFiles({"hist.npz": b"no archive"}))
    async with browse(broken) as pilot:
        await pilot.press("L")
        assert "hist.npz is damaged" in screen_text(pilot)
        await pilot.press("j", "tab", "tab")
        assert browser(pilot).is_running


async def test_a_layer_of_a_failed_finding_is_not_called_sound(browse: Open) -> None:
    run = synthetic_run(40)
    sound = next(x for x in run.layers if x.role == "sound")
    finding = next(f for f in run.findings if f.slug == "mixed-range")
    blamed = dataclasses.replace(finding, layers=(sound.index,))
    async with browse(dataclasses.replace(run, findings=(blamed,)), size=(120, 40)) as pilot:
        await pilot.pause()
        assert "named by QD301 mixed-range" in screen_text(pilot)


async def test_kept_tensors_are_read_and_inspected(browse: Open, run: Run) -> None:
    kept = next(layer for layer in run.layers if layer.kept)
    async with browse(run) as pilot:
        layers_page(pilot).go_to(kept.index)
        await pilot.press("shift+tab", "full_stop", "ctrl+right", "alt+down")
        await settle(pilot)
        lines = "\n".join(line.plain for line in layers_page(pilot).detail.view.lines)
        assert "channel 1 of" in lines
        assert "row 1, column 1: float" in lines
        expected = run.files.array(f"tensors/float/{kept.index:04}.npy")[0, 1, 1, 1]
        assert f"float {expected:.4g}" in lines
        await pilot.press("v")
        await settle(pilot)
        lines = "\n".join(line.plain for line in layers_page(pilot).detail.view.lines)
        assert "quant (up) over float (across)" in lines


async def test_keys_that_arrive_at_once_go_where_the_one_before_put_the_focus(
    browse: Open, run: Run
) -> None:
    async with browse(run) as pilot:
        _burst(pilot, "/op:Concat")
        rows = layers_page(pilot).rows
        await _until(pilot, lambda: rows.filter.text.startswith("op:Concat"))
        assert isinstance(pilot.app.focused, FilterInput)
        assert pilot.app.screen is pilot.app.screen_stack[0]
        assert all(rows.layer_at(row).op == "Concat" for row in range(3))


async def test_a_burst_goes_through_a_filter_and_on(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        _burst(pilot, "2", "1", "/", *"op:Conv", "enter", "g", "j", "j")
        page = layers_page(pilot)
        await _until(pilot, lambda: page.rows.filter.text == "op:Conv" and page.table.cursor == 2)
        assert pilot.app.focused is layers_page(pilot).table


async def test_a_jump_from_a_sample_shows_the_values_of_the_layer_it_names(
    browse: Open, run: Run
) -> None:
    async with browse(run) as pilot:
        before = here(pilot)
        await pilot.press("4", *["l"] * 5, "enter")
        await pilot.pause()
        layer = layers_page(pilot).rows.current
        assert layer is not None
        assert layer.index != before
        shown = layers_page(pilot).detail.view.lines
        wanted = layers_page(pilot).detail._tab_lines(layer, layers_page(pilot).detail.view.room)
        assert [line.plain for line in shown] == [line.plain for line in wanted]


async def test_a_histogram_has_the_colours_of_its_legend(browse: Open, run: Run) -> None:
    async with browse(run) as pilot:
        await pilot.press("tab")
        view = layers_page(pilot).detail.view
        legend, bars = view.render_line(0), view.render_line(4)
        side = next(part.style for part in legend if "float" in part.text)
        drawn = [part.style for part in bars if "█" in part.text]
        assert side is not None
        assert drawn
        assert all(style is not None and style.color == side.color for style in drawn)


def _burst(pilot: Pilot[None], *keys: str) -> None:
    """Keys that are all there before the first is looked at."""
    for key in keys if len(keys) > 1 else keys[0]:
        name = {"/": "slash", ":": "colon"}.get(key, key)
        character = key if len(key) == 1 else None
        pilot.app.post_message(events.Key(name, character))


async def _until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            break
        await pilot.pause(0.01)
    assert true()
