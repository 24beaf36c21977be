"""Every key of the terminal browser, once: bindings, footer, help, palette and remapping read it.

A key is remapped in the settings file by its id: ``"layers.next_source" = "ctrl+n"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True)
class Key:
    """One thing a key does.

    Attributes:
        scope: where it works: ``app``, ``move`` (every list), or a screen.
        name: unique within the scope.
        keys: comma-separated keys as Textual names them.
        action: the action it runs on the screen it belongs to.
        label: a word or two for the footer; empty keeps it out of the footer.
        about: one phrase for the help.
        rank: footer keys with the smallest rank stay when the terminal is narrow.
    """

    scope: str
    name: str
    keys: str
    action: str
    label: str
    about: str
    rank: int = 50

    @property
    def id(self) -> str:
        """What the settings file calls it."""
        return f"{self.scope}.{self.name}"


def _k(name: str, keys: str, action: str, label: str, about: str, rank: int = 50) -> Key:
    scope, _, rest = name.partition(".")
    return Key(scope, rest, keys, action, label, about, rank)


KEYS: tuple[Key, ...] = (
    _k("app.layers", "1", "page('layers')", "", "the layers"),
    _k("app.findings", "2", "page('findings')", "", "the findings"),
    _k("app.input", "3", "page('input')", "", "the input"),
    _k("app.samples", "4", "page('samples')", "", "the samples"),
    _k("app.compare", "5", "page('compare')", "", "the other run, after `qdebug browse A B`"),
    _k("app.scores", "6", "page('scores')", "", "scores on labelled data"),
    _k("app.plan", "7", "page('plan')", "", "how the model was tuned"),
    _k("app.help", "question_mark,f1", "help", "keys", "every key", 2),
    _k("app.palette", "ctrl+p,colon", "command_palette", "", "find a command by its name"),
    _k("app.theme", "T", "next_theme", "", "next theme: dark, light, contrast, mono, terminal's"),
    _k("app.excerpt", "E", "write_excerpt", "", "write a Markdown excerpt for a ticket"),
    _k("app.html", "H", "write_html", "", "write the HTML report"),
    _k("app.picture", "P", "write_screenshot", "", "write this screen as SVG"),
    _k("app.picks", "X", "show_picks", "", "the keep-in-float and 16-bit list"),
    _k("app.about", "I", "show_about", "", "how this run was made"),
    _k("app.suspend", "ctrl+z", "suspend_process", "", "suspend to the shell"),
    _k("app.quit", "q,ctrl+c", "quit", "quit", "quit", 9),
    _k("move.down", "j,down", "cursor_down", "", "down"),
    _k("move.up", "k,up", "cursor_up", "", "up"),
    _k("move.page_down", "pagedown,ctrl+f,ctrl+d", "page_down", "", "a page down"),
    _k("move.page_up", "pageup,ctrl+b,ctrl+u", "page_up", "", "a page up"),
    _k("move.first", "g,home", "first", "", "to the first"),
    _k("move.last", "G,end", "last", "", "to the last"),
    _k("layers.filter", "slash", "open_filter", "filter", "filter as you type", 0),
    _k("layers.peel", "escape", "peel", "", "close detail, then filter, then marks: one layer"),
    _k(
        "layers.zoom", "enter", "zoom", "detail", "the layer's detail on the whole screen; folds", 4
    ),
    _k("layers.next_source", "n", "next_source(1)", "source", "next source of error", 1),
    _k("layers.previous_source", "N", "next_source(-1)", "", "previous source of error"),
    _k("layers.first_source", "F", "first_source", "", "first source of error"),
    _k("layers.sort", "s", "sort_next", "sort", "sort by the next column", 3),
    _k("layers.reverse", "S", "sort_reverse", "", "reverse the order"),
    _k("layers.order", "o", "sort_clear", "", "back to execution order"),
    _k("layers.producer", "left_square_bracket", "follow(-1)", "", "to the layer that feeds it"),
    _k("layers.consumer", "right_square_bracket", "follow(1)", "", "to a layer that reads it"),
    _k("layers.back", "backspace,ctrl+o", "back", "", "back to where the last jump began"),
    _k("layers.outline", "t", "outline", "tree", "outline by module path, on and off", 6),
    _k("layers.fold", "space,z", "fold", "", "fold or unfold the module"),
    _k("layers.fold_all", "Z", "fold_all", "", "fold or unfold all modules"),
    _k("layers.mark", "m", "mark", "", "mark the layer, or take the mark away"),
    _k("layers.marked", "M", "only_marked", "", "show marked layers only, or all"),
    _k("layers.tab", "tab,l,right", "tab(1)", "tabs", "next tab of the detail", 5),
    _k("layers.tab_back", "shift+tab,h,left", "tab(-1)", "", "previous tab of the detail"),
    _k("layers.scroll_down", "J,ctrl+down", "scroll_detail(1)", "", "scroll the detail down"),
    _k("layers.scroll_up", "K,ctrl+up", "scroll_detail(-1)", "", "scroll the detail up"),
    _k("layers.formulas", "equals_sign", "formulas", "", "the formulas of the numbers"),
    _k("layers.scale", "L", "log_scale", "", "histogram: linear or logarithmic"),
    _k("layers.sample", "i", "sample(1)", "", "accumulated error of one sample, or of all"),
    _k("layers.findings", "f", "findings", "", "the findings that touch it"),
    _k("layers.pick", "x", "pick", "keep", "keep in float, in 16 bits, or as it is", 7),
    _k("layers.pick_shown", "A", "pick_shown", "", "the same for every layer a filter shows"),
    _k("layers.channel", "full_stop", "tensor('channel', 1)", "", "tensor tab: next channel"),
    _k("layers.channel_back", "comma", "tensor('channel', -1)", "", "tensor tab: previous channel"),
    _k("layers.view", "v", "tensor('view', 1)", "", "tensor tab: heat map or scatter"),
    _k("layers.inspect", "ctrl+left", "tensor('x', -1)", "", "tensor tab: inspector left"),
    _k("layers.inspect_right", "ctrl+right", "tensor('x', 1)", "", "tensor tab: inspector right"),
    _k("layers.inspect_up", "alt+up", "tensor('y', -1)", "", "tensor tab: inspector up"),
    _k("layers.inspect_down", "alt+down", "tensor('y', 1)", "", "tensor tab: inspector down"),
    _k(
        "layers.extract",
        "e",
        "copy_extract",
        "",
        "copy the command that cuts this layer out of both models",
    ),
    _k("layers.copy", "y", "copy", "copy", "copy the layer as Markdown", 6),
    _k("findings.jump", "enter", "jump", "layers", "to the layers it names; unfolds", 1),
    _k("findings.fold", "space", "fold", "", "fold or unfold passed and not applicable checks"),
    _k("findings.scroll_down", "J,ctrl+down", "scroll_detail(1)", "scroll", "scroll evidence", 3),
    _k("findings.scroll_up", "K,ctrl+up", "scroll_detail(-1)", "", "scroll the evidence up"),
    _k("findings.copy", "y", "copy", "copy", "copy the finding as Markdown", 2),
    _k("findings.pick", "x", "pick", "keep", "keep the layers it names in float, in 16 bits", 2),
    _k("findings.peel", "escape", "peel", "", "back to the list"),
    _k("input.next", "l,right,right_square_bracket", "sample(1)", "sample", "next sample", 1),
    _k("input.previous", "h,left,left_square_bracket", "sample(-1)", "", "previous sample"),
    _k("input.copy", "y", "copy", "copy", "copy the input findings as Markdown", 2),
    _k("input.peel", "escape", "peel", "", "back to the layers"),
    _k("samples.next", "l,right", "along(1)", "along", "along the network", 2),
    _k("samples.previous", "h,left", "along(-1)", "", "back along the network"),
    _k("samples.jump", "enter", "jump", "layer", "to the worst layer under the cursor", 1),
    _k("samples.sort", "s", "sort_next", "sort", "worst sample first, or in order", 3),
    _k("scores.copy", "y", "copy", "copy", "copy the scores as Markdown", 1),
    _k("scores.peel", "escape", "peel", "", "back to the layers"),
    _k("plan.switch", "space", "switch", "switch", "a cure or a unit on or off", 0),
    _k("plan.apply", "a", "apply", "apply", "write the model of the plan as it is switched", 1),
    _k("plan.reset", "r", "reset", "reset", "back to the plan that was proven", 3),
    _k("plan.scroll_down", "J,ctrl+down", "scroll_detail(1)", "scroll", "scroll the text", 4),
    _k("plan.scroll_up", "K,ctrl+up", "scroll_detail(-1)", "", "scroll the text up"),
    _k("plan.copy", "y", "copy", "copy", "copy the plan as Markdown", 2),
    _k("plan.peel", "escape", "peel", "", "back to the layers"),
    _k("samples.peel", "escape", "peel", "", "back to the layers"),
    _k("compare.jump", "enter", "jump", "layer", "to this layer", 1),
    _k("compare.sort", "s", "sort_next", "sort", "by change, or in order", 2),
    _k("compare.copy", "y", "copy", "copy", "copy the comparison as Markdown", 3),
    _k("compare.peel", "escape", "peel", "", "back to the layers"),
    _k("picker.open", "enter", "open", "open", "open the run", 1),
    _k("picker.second", "space,m", "choose", "choose", "choose two runs to compare", 2),
    _k("picks.kind", "x", "kind", "float/16", "float or 16 bits", 1),
    _k("picks.remove", "d,delete", "remove", "remove", "take it off the list", 2),
    _k("picks.form", "v,tab", "form(1)", "form", "the words of the next toolchain", 3),
    _k("picks.form_back", "V,shift+tab", "form(-1)", "", "the words of the one before"),
    _k("picks.export", "e", "export", "write", "write what is shown to a file", 3),
    _k("picks.copy", "y", "copy", "copy", "copy what is shown", 4),
    _k("picks.scroll_down", "J,ctrl+down", "scroll_detail(1)", "", "scroll the text down"),
    _k("picks.scroll_up", "K,ctrl+up", "scroll_detail(-1)", "", "scroll the text up"),
    _k("picks.close", "escape,X,q", "dismiss", "close", "close", 5),
    _k("text.down", "j,down", "scroll_down", "", "scroll down"),
    _k("text.up", "k,up", "scroll_up", "", "scroll up"),
    _k("text.close", "escape,q,question_mark", "dismiss", "close", "close", 1),
)

SCOPES: Mapping[str, str] = {
    "app": "Everywhere",
    "move": "In every list",
    "layers": "Layers",
    "findings": "Findings",
    "input": "Input",
    "samples": "Samples",
    "compare": "Compare",
    "scores": "Scores",
    "plan": "Plan",
    "picker": "Choosing a run",
    "picks": "Keep list",
    "text": "Reading a text",
}
"""Scopes with their headings, in the order of the help."""

BY_ID: Mapping[str, Key] = {key.id: key for key in KEYS}

_SPOKEN = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "equals_sign": "=",
    "full_stop": ".",
    "comma": ",",
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
    "tab": "Tab",
    "backspace": "Backspace",
    "pagedown": "PgDn",
    "pageup": "PgUp",
    "home": "Home",
    "end": "End",
    "delete": "Del",
    "up": "Up",
    "down": "Down",
    "left": "Left",
    "right": "Right",
    "f1": "F1",
}


def bindings(*scopes: str) -> list[Binding]:
    """Textual bindings of some scopes, none shown: the footer is our own."""
    return [
        Binding(key.keys, key.action, key.about, show=False, id=key.id)
        for key in KEYS
        if key.scope in scopes
    ]


def spoken(keys: str, first: bool = False) -> str:
    """Keys as a reader knows them: ``question_mark,f1`` is ``? F1``."""
    parts = keys.split(",")[: 1 if first else None]
    return " ".join(_spoken_key(part.strip()) for part in parts)


def _spoken_key(key: str) -> str:
    *modifiers, name = key.split("+")
    marks = "".join({"ctrl": "^", "alt": "Alt-", "shift": "Shift-"}.get(m, m) for m in modifiers)
    return marks + _SPOKEN.get(name, name)


def footer_keys(scopes: Iterable[str]) -> list[Key]:
    """The keys a footer offers, most useful first."""
    wanted = set(scopes)
    return sorted((k for k in KEYS if k.scope in wanted and k.label), key=lambda k: k.rank)
