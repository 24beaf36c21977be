"""Keys of the layers screen that act on the detail of the layer under the cursor."""

from __future__ import annotations

import shlex

from qdebug.tui.context import Look, Session
from qdebug.tui.detail.pane import DetailPane
from qdebug.tui.layer_list import LayerList
from qdebug.tui.markdown import layer_markdown
from qdebug.tui.modals import TextScreen, formula_lines
from qdebug.tui.pages.page import Copy, RunPage


class DetailActions(RunPage):
    """A screen with a list of layers and the detail of one of them."""

    def __init__(self, look: Look, session: Session, id: str) -> None:
        super().__init__(look, session, id)
        self.rows = LayerList(session)

    @property
    def detail(self) -> DetailPane:
        """The detail pane."""
        return self.query_one(DetailPane)

    def action_tab(self, direction: int) -> None:
        """Another tab of the detail."""
        self.detail.step(direction)

    def action_scroll_detail(self, direction: int) -> None:
        """Scroll the detail."""
        self.detail.view.scroll_relative(y=3 * direction, animate=False)

    def action_log_scale(self) -> None:
        """Linear or logarithmic counts."""
        self.detail.log_counts = not self.detail.log_counts
        self.detail.choose("Histogram")

    def action_formulas(self) -> None:
        """The formulas of the numbers."""
        run, look = self.session.run, self.look
        screen = TextScreen(look, "What the numbers are", lambda w: formula_lines(run, w, look))
        self.app.push_screen(screen)

    def action_tensor(self, what: str, step: int) -> None:
        """Move in the tensor tab; the first such key opens it."""
        if not self.detail.move_in_tensor(what, step):
            self.detail.choose("Tensor")

    def action_findings(self) -> None:
        """The findings that touch the layer, with their evidence."""
        self.detail.choose("Findings")

    def action_copy(self) -> None:
        """The layer as Markdown."""
        layer = self.rows.current
        if layer is not None:
            self.post_message(Copy(layer_markdown(layer), f"layer {layer.index}"))

    def action_copy_extract(self) -> None:
        """The command that cuts this layer out of both models."""
        layer = self.rows.current
        if layer is not None:
            run = self.session.run
            sample = layer.worst_sample or (run.samples[0].name if run.samples else "INPUT")
            words = ["qdebug", "extract", run.models.float.file, run.models.quant.file]
            # By number: the outputs of a Split share the name of its node.
            words += [f"#{layer.index}", sample, "-p", run.preprocess.float.spec]
            words += ["-o", f"layer-{layer.index}"]
            self.post_message(Copy(shlex.join(words), "the command"))
