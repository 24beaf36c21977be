"""A real browser without a window: pictures, prints, and what a page does while it is open."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""Debian's package first, then what others call it."""
_QUIET = (
    "--headless", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--no-default-browser-check",
    "--disable-dev-shm-usage", "--no-sandbox",  # a container has neither; the pages are our own
)  # fmt: skip
_CONSOLE = re.compile(r":CONSOLE[:(]")
_NOBODY = "not an origin"
_SECONDS = 60


@dataclass(frozen=True)
class Visit:
    """What a page did while it was open.

    Attributes:
        output: what the browser wrote to stdout: the document, where it was asked for.
        console: lines of the page's console.
        requests: addresses that were asked for, the page's own aside.
    """

    output: str
    console: tuple[str, ...]
    requests: tuple[str, ...]


def find() -> str | None:
    """The browser of this machine; None without one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def visit(browser: str, page: Path, scratch: Path, *options: str, fragment: str = "") -> Visit:
    """Open a page in a fresh profile and close it again.

    Args:
        browser: what ``find`` found.
        page: an HTML file.
        scratch: a folder for the profile and the log.
        options: of Chromium, for instance ``--dump-dom``.
        fragment: what stands after ``#``.
    """
    log = scratch / "net.json"
    address = page.resolve().as_uri() + (f"#{fragment}" if fragment else "")
    command = [
        browser, *_QUIET, f"--user-data-dir={scratch / 'profile'}", f"--log-net-log={log}",
        "--enable-logging=stderr", "--virtual-time-budget=5000", *options, address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    console = tuple(line for line in done.stderr.splitlines() if _CONSOLE.search(line))
    return Visit(done.stdout, console, _requests(log))


def picture(
    browser: str, page: Path, scratch: Path, target: Path, size: tuple[int, int], *options: str
) -> None:
    """Write what a window of that size, in CSS pixels, shows of a page, as PNG."""
    width, height = size
    visit(
        browser,
        page,
        scratch,
        f"--window-size={width},{height}",
        f"--screenshot={target}",
        *options,
    )


def _requests(log: Path) -> tuple[str, ...]:
    """Addresses that a page asked for; what the browser wants for itself has no initiator."""
    text = log.read_text(encoding="utf-8").rstrip().rstrip(",")
    events: list[dict[str, Any]] = json.loads(text if text.endswith("}") else text + "]}")["events"]
    told = [event.get("params", {}) for event in events]
    asked = {x["url"] for x in told if x.get("initiator", _NOBODY) != _NOBODY and "url" in x}
    return tuple(sorted(x for x in asked if x.startswith(("http:", "https:", "ws:", "wss:"))))
