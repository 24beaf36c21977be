"""What leaves the browser: excerpt, report, screenshot, the keep list."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text
from textual import work

from qdebug.errors import QdebugError, UsageError
from qdebug.reporters.base import write_file
from qdebug.run.draft import Draft
from qdebug.run.gates import gate_states
from qdebug.run.model import Layer, ModelInfo, Run
from qdebug.tui.context import Look, Session
from qdebug.tui.lines import blank, labelled, title
from qdebug.tui.markdown import excerpt
from qdebug.tui.modals import PathPrompt, TextScreen
from qdebug.tui.pages.layers import LayersPage
from qdebug.tui.pages.page import Copy

if TYPE_CHECKING:
    from textual.app import App

    from qdebug.tui.pages.plan import PlanPage
    from qdebug.tui.picks import Wish

    _Base = App[None]
else:
    _Base = object

ApplyDraft = Callable[[Run, Draft, "Path | None", Path], Path]
"""Writes the model of a plan: the record, the plan, where the record lies, and the file."""

_EXCERPT_LAYERS = 20


class HandOff(_Base):
    """The keys that write or copy something; mixed into the application."""

    look: Look
    session: Session | None
    apply: ApplyDraft | None = None

    def complain(self, error: Exception) -> None:
        """Tell of an error."""
        raise NotImplementedError

    def _ask(self, question: str, suggestion: str, write: Callable[[Path], Path | None]) -> None:
        """Ask for a path, write there, tell what was written (None: not yet) or why not."""

        def answered(answer: str | None) -> None:
            if answer is None:
                return
            try:
                path = write(_free(Path(answer).expanduser()))
            except (QdebugError, OSError) as error:
                self.complain(error)
            else:
                if path is not None:
                    self.notify(f"Wrote {path}", markup=False)

        self.push_screen(PathPrompt(question, suggestion), answered)

    def _stem(self) -> str:
        """Name of the run without its ending, for suggested file names."""
        if self.session is None:
            return "qdebug"
        path = self.session.path
        return path.stem if path else Path(self.session.run.models.quant.file).stem or "qdebug"

    def action_write_excerpt(self) -> None:
        """A Markdown page: verdict, findings, marked layers or the ones on screen."""
        if self.session is not None:
            text = excerpt(self.session, self._excerpt_layers(self.session))
            self._ask(
                "Write the Markdown excerpt to",
                f"{self._stem()}.md",
                partial(_write_text, text),
            )

    def _excerpt_layers(self, session: Session) -> list[Layer]:
        if session.marks:
            return [x for x in session.run.layers if x.index in session.marks]
        page = self.query_one(LayersPage)
        if page.rows.filter.text:
            return [page.rows.layer_at(row) for row in range(min(page.rows.row_count, 20))]
        sources = [x for x in session.run.layers if x.role == "source"]
        return sources[:_EXCERPT_LAYERS]

    def action_write_html(self) -> None:
        """The HTML report."""
        from qdebug.plugins import load_plugin

        session = self.session
        if session is None:
            return
        reporter = load_plugin("reporters", "html")
        self._ask(
            "Write the HTML report to",
            f"{self._stem()}.html",
            partial(self._write_beside, "report", partial(reporter.write, session.run)),
        )

    def _write_beside(self, what: str, write: Callable[[Path], Path], path: Path) -> None:
        """Write what takes a while, and say so."""
        self.notify(f"Writing the {what}.", markup=False, timeout=2)
        self._write_in_worker(write, path)

    @work(thread=True, group="report", exit_on_error=False, description="report")
    def _write_in_worker(self, write: Callable[[Path], Path], path: Path) -> None:
        written = write(path)
        self.call_from_thread(self.notify, f"Wrote {written}", markup=False)

    def on_plan_page_apply(self, event: PlanPage.Apply) -> None:
        """Write the model of a plan as it is switched."""
        session, apply = self.session, self.apply
        if session is None or apply is None:
            self.notify("`qdebug browse` writes models; this browser only shows", markup=False)
            return

        def write(path: Path) -> Path:
            return apply(session.run, event.draft, session.path, path)

        self._ask(
            "Write the model of this plan, foretold and not proven, to",
            f"{self._stem()}_plan.onnx",
            partial(self._write_beside, "model", write),
        )

    def action_write_screenshot(self) -> None:
        """This screen as SVG."""
        picture = self.export_screenshot(title=f"qdebug browse {self._stem()}")
        self._ask(
            "Write this screen as SVG to",
            f"{self._stem()}.svg",
            partial(_write_text, picture),
        )

    def action_show_picks(self) -> None:
        """The keep list."""
        from qdebug.tui.picks import PicksScreen

        if self.session is not None:
            self.clear_notifications()
            self.push_screen(PicksScreen(self.look, self.session), self._picks_closed)

    def _picks_closed(self, wish: Wish | None) -> None:
        from qdebug.tui.keep_list import picked

        session = self.session
        if session is None or wish is None:
            self._refresh_layers()
            return
        if not picked(session):
            self.notify("The list is empty.", markup=False)
        elif wish.what == "copy":
            self.post_message(Copy(wish.form.write(session), "the keep list"))
        else:
            write = partial(_write_text, wish.form.write(session))
            self._ask(f"Write the keep list ({wish.form.title}) to", wish.form.file, write)
        self._refresh_layers()

    def _refresh_layers(self) -> None:
        for page in self.query(LayersPage):
            page.redraw()

    def action_show_about(self) -> None:
        """How the run was made."""
        session = self.session
        if session is not None:
            self.push_screen(
                TextScreen(
                    self.look, "How this run was made", lambda w: about_lines(session, w, self.look)
                )
            )


def _free(path: Path) -> Path:
    """The path, unless something is there already: nothing is replaced unasked.

    Raises:
        UsageError: something is there.
    """
    if path.exists():
        raise UsageError(f"{path} exists already", "give another name")
    return path


def _write_text(text: str, path: Path) -> Path:
    return write_file(path, text)


def about_lines(session: Session, width: int, look: Look) -> list[Text]:
    """Gates, models, tools, command, limits, what was not compared, cost."""
    run = session.run
    lines = [title("Gates, in the order in which they must be passed", width, look)]
    for gate in gate_states(run):
        names = ", ".join(f.slug for f in gate.findings[:6])
        lines += labelled(gate.gate, f"{gate.status}  {names}", width, look)
    for limit in run.verdict.limits:
        sign = ">=" if limit.direction == "min" else "<="
        text = f"{limit.metric} {sign} {limit.value:g} ({limit.origin})"
        lines += labelled("limit", text, width, look)
    lines += [blank(), title("Models", width, look)]
    lines += _model_lines("float", run.models.float, width, look)
    lines += _model_lines("quant", run.models.quant, width, look)
    lines += [blank(), title("Made by", width, look)]
    tool = run.tool
    versions = f"qdebug {tool.version}, onnxruntime {tool.onnxruntime}, onnx {tool.onnx}"
    lines += labelled("tools", f"{versions}, numpy {tool.numpy}, Python {tool.python}", width, look)
    lines += labelled("machine", f"{tool.cpu} {' '.join(tool.cpu_flags)}", width, look)
    lines += labelled("command", " ".join(run.command), width, look)
    timing = run.timing
    cost = f"{timing.total_s:.1f} s, plain inference {timing.bare_inference_s:.1f} s"
    lines += labelled("cost", f"{cost}, {timing.peak_rss_mib:.0f} MiB at most", width, look)
    for note in run.notes:
        lines += labelled("note", note, width, look)
    return lines + _unpaired_lines(session, width, look)


def _model_lines(side: str, model: ModelInfo, width: int, look: Look) -> list[Text]:
    text = f"{model.file}: {model.format}, opset {model.opset}, {model.nodes} nodes"
    lines = labelled(side, text, width, look)
    detail = f"{model.detail or model.producer}, sha256 {model.sha256[:16]}"
    return lines + labelled("", detail, width, look, look.palette.dim)


def _unpaired_lines(session: Session, width: int, look: Look) -> list[Text]:
    lines: list[Text] = []
    unpaired = session.run.unpaired
    for side, tensors in (("float", unpaired.float), ("quant", unpaired.quant)):
        if tensors:
            heading = f"{len(tensors)} tensors of the {side} graph without a counterpart"
            lines += [blank(), title(heading, width, look)]
        for tensor in tensors[:200]:
            lines += labelled(tensor.op[:12], f"{tensor.tensor}: {tensor.reason}", width, look)
    return lines
