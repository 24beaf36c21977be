"""Latencies of the terminal browser on generated runs: first paint, filter, sort, page down.

    python -m benchmarks.browse [LAYERS ...]

The budgets are 0.6 s, 0.1 s, 0.1 s and 16 ms. First paint is that of ``qdebug browse RUN`` in a
pseudo terminal of 120x40: from the start of the process to the first frame, which says what is
being read, and to the first that shows layers; the budget is for the latter, the best of several
starts counts. The processor time spent until then is near to what an idle machine needs. The others
are from the key to the frame that shows its effect, medians of several presses, in a terminal that
takes no time itself.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from textual.pilot import Pilot

from qdebug.run.model import Run
from qdebug.run.store import RunWriter, load_run
from qdebug.tui.app import Browser
from qdebug.tui.pages.layers import LayersPage
from qdebug.tui.start import make_browser

SIZES = (5_000, 50_000)
SIZE = (120, 40)
BUDGETS = {"first paint": 0.6, "filter": 0.1, "sort": 0.1, "page down": 0.016}
PRESSES = 15
STARTS = 5


def main(arguments: list[str]) -> None:
    """Measure and print."""
    from tests.support.synthetic import synthetic_run

    for layers in [int(text) for text in arguments] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "generated.qdrun"
            run = synthetic_run(layers=layers, samples=8)
            _write(run, path)
            print(f"{layers:,} layers")
            paints = [_first_paint(path, _first_name(run)) for _ in range(STARTS)]
            names = ("(first frame)", "first paint", "(its processor time)")
            for at, name in enumerate(names):
                _print(name, min(paint[at] for paint in paints))
            for name, seconds in asyncio.run(_latencies(path)).items():
                _print(name, seconds)


def _write(run: Run, path: Path) -> None:
    with RunWriter(path) as writer:
        for name in run.files.names():
            writer.add(name, run.files.read(name))
        writer.commit(run, run.arrays)


def _print(name: str, seconds: float) -> None:
    budget = BUDGETS.get(name)
    verdict = "" if budget is None else f"  budget {budget * 1e3:5.0f} ms"
    if budget is not None:
        verdict += "  ok" if seconds <= budget else "  OVER"
    print(f"  {name:<22} {seconds * 1e3:8.1f} ms{verdict}", flush=True)


def _first_name(run: Run) -> str:
    """Name of the layer that the browser opens at."""
    finding = next(finding for finding in run.findings if finding.status == "fail")
    return run.layers[finding.layers[0]].name


def _first_paint(path: Path, name: str) -> tuple[float, float, float]:
    """Seconds to the frame that says what is read, to the one that names a layer, and computed."""
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("4H", SIZE[1], SIZE[0], 0, 0))
    start = time.perf_counter()
    command = [sys.executable, "-m", "qdebug", "browse", str(path)]
    process = subprocess.Popen(
        command, stdin=inner, stdout=inner, stderr=inner, env=_environment(path.parent)
    )
    os.close(inner)
    try:
        seen, times = b"", []
        for text in (b"reading", name.encode()):
            while text not in seen:
                seen += os.read(terminal, 1 << 16)
            times.append(time.perf_counter() - start)
    finally:
        process.kill()
        usage = os.wait4(process.pid, 0)[2]
        os.close(terminal)
    return times[0], times[1], usage.ru_utime + usage.ru_stime


def _environment(folder: Path) -> dict[str, str]:
    """With compiled modules, as an installed package has them, but none left in the tree."""
    compiled = {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "TERM": "xterm-256color"}
    environment = {**os.environ, **compiled}
    for name in ("PYTHONDONTWRITEBYTECODE", "NO_COLOR"):
        environment.pop(name, None)
    return environment


async def _ready(app: Browser, pilot: Pilot[None]) -> None:
    """Wait until layers are on screen."""
    while app.page is None or not app.query(LayersPage):
        await asyncio.sleep(0.002)
    await pilot._wait_for_screen()


async def _latencies(path: Path) -> dict[str, float]:
    start = time.perf_counter()
    run = load_run(path)
    found = {"(reading the run)": time.perf_counter() - start}
    app = make_browser(run, ascii_only=False)
    async with app.run_test(size=SIZE) as pilot:
        await _ready(app, pilot)
        await app.workers.wait_for_complete()
        page = app.query_one(LayersPage)
        queries = ("op:Conv sqnr<30 name~cv2", "sqnr<20", "cv3 local<accum", "")
        found["filter"] = await _median(pilot, [lambda q=q: page.filter(q) for q in queries] * 3)
        found["sort"] = await _median(pilot, [page.action_sort_next] * PRESSES)
        page.action_sort_clear()
        found["page down"] = await _median(pilot, [page.table.action_page_down] * PRESSES)
        found["next source"] = await _median(pilot, [lambda: page.action_next_source(1)] * 5)
        found["outline on and off"] = await _median(pilot, [page.action_outline] * 4)
    return found


async def _median(pilot: Pilot[None], actions: list) -> float:  # type: ignore[type-arg]
    times = []
    for action in actions:
        start = time.perf_counter()
        action()
        pilot.app.screen._compositor_refresh()
        list(pilot.app.screen._compositor.render_strips())
        times.append(time.perf_counter() - start)
        await pilot.pause()
    return statistics.median(times)


if __name__ == "__main__":
    main(sys.argv[1:])
