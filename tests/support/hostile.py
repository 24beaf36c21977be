"""Names that break careless output code; every reporter and screen is tested with them."""

from __future__ import annotations

HOSTILE_NAMES: tuple[str, ...] = (
    "layers[0]",
    "w[bold]x",
    "a[/b]c",
    "[red on blue]alarm[/]",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&amp;&lt;already escaped&gt;",
    "名前/層/畳み込み",
    "emoji 🧠/conv",
    "two\nlines",
    "carriage\rreturn",
    "tab\tbed",
    "bell\x07 and \x1b[31mescape\x1b[0m",
    "null\x00byte",
    "right-to-left \u202egnp.exe",
    "zero\u200bwidth",
    "lone surrogate escaped \\ud800",
    "-leading-dash",
    "=SUM(A1:A9)",
    "@mention #1 |pipe| `code` *star* _under_",
    "quote\" and 'apostrophe' and, comma; semicolon",
    "C:\\models\\net\\Conv",
    "../../etc/passwd",
    "{{ template }} ${shell} %s",
    "long/" + "abcdefghij" * 29 + "/tail",
    " spaces ",
)
