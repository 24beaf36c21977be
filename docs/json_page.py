"""Writes ``json.md``, the reference of ``run.json``, out of the data model's own docstrings.

Run ``python docs/json_page.py`` after a change to ``qdebug/run/model.py``; a test compares. The
table of metrics is written when the site is built, see ``tables.py``.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from qdebug.metrics import metric
from qdebug.run import board_results, crops, dataset_scores, model, reading_results, tuning
from qdebug.run.model import SCHEMA, ErrorMetrics

PAGE = Path(__file__).with_name("json.md")
_FIRST = "Run"
_METRICS = """\
Every field is a number, and each is a metric of `qdebug/metrics/metric.py`. One that came after the
run was written is absent.

<!-- table: metrics -->"""
_HEAD = f"""# The JSON of a run

`run.json` in a `NAME.qdrun` folder, `qdebug compare --json FILE|-` and `qdebug report -o FILE.json`
are the same text, with the schema `{SCHEMA}`. Fields are added, never renamed; a program that
reads it should ignore fields it does not know. Another number after the slash means that older
programs cannot read it, and qdebug says so, naming both.

```console
$ qdebug compare float.onnx int8.onnx shots -q --json result.json --force
$ qdebug schema
```

Infinite and undefined numbers are the strings `"inf"`, `"-inf"` and `"nan"`; all others have nine
significant digits. Keys are sorted, so that equal runs give equal bytes apart from `timing`. No
path of the machine is in it.

Beside it in the folder lie `hist.npz` (histograms and channels, see `qdebug.run.arrays`), `thumbs/`
(pictures), `crops.npz` (a few thousand values of the layers that findings name, see
`qdebug.run.crops`) and, with `--keep-tensors`, `tensors/float/NNNN.npy` and
`tensors/quant/NNNN.npy`.
"""


def page() -> str:
    """The whole page."""
    modules = (metric, crops, dataset_scores, board_results, reading_results, tuning, model)
    sources = map(inspect.getsource, modules)
    nodes = [node for source in sources for node in ast.parse(source).body]
    classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
    order = _reachable(classes)
    return "\n".join([_HEAD, *(_section(classes[name], classes) for name in order)])


def _reachable(classes: dict[str, ast.ClassDef]) -> list[str]:
    """The classes that a run is made of, each behind the first that uses it."""
    found, waiting = [], [_FIRST]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            used = [word for field in _fields(classes[name]) for word in _words(field[1])]
            waiting += [word for word in used if word in classes]
    return found


def _fields(node: ast.ClassDef) -> list[tuple[str, str, str]]:
    """Name, type and description of the stored fields."""
    fields = []
    for item, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        if item.value is not None and '"json": False' in ast.unparse(item.value).replace("'", '"'):
            continue
        text = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = " ".join(str(after.value.value).split())
        fields.append((item.target.id, ast.unparse(item.annotation), text))
    return fields


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _section(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> str:
    doc = ast.get_docstring(node) or ""
    lines = [f"## {node.name}", "", _prose(doc), ""]
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    lines += [f"All fields of [{base}](#{base.lower()}), and:\n" for base in bases]
    if node.name == ErrorMetrics.__name__:
        return "\n".join([*lines, _METRICS, ""])
    lines += ["| field | type | |", "|---|---|---|"]
    lines += [f"| `{name}` | {_type(hint, classes)} | {_cell(text)} |"
              for name, hint, text in _fields(node)]  # fmt: skip
    return "\n".join([*lines, ""])


def _prose(doc: str) -> str:
    """A docstring as Markdown; its tables become literal blocks."""
    shown = doc.replace("``", "`")
    if "====" not in shown:
        return shown
    head, table = re.split(r"\n+(?==)", shown, maxsplit=1)
    return f"{head}\n\n```text\n{table}\n```"


def _type(hint: str, classes: dict[str, ast.ClassDef]) -> str:
    linked = [word for word in dict.fromkeys(_words(hint)) if word in classes]
    shown = hint.replace("|", "or").replace("'", '"')
    links = ", ".join(f"[{word}](#{word.lower()})" for word in linked)
    return f"`{shown}` {links}".strip()


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
