"""What the page's JavaScript knows of metrics, fields, states, findings and numbers."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from qdebug.metrics.metric import LEAD, SHOWN
from qdebug.reporters.ranking import EFFECTS, MOST_NAMED
from qdebug.run.layer_fields import FIELDS
from qdebug.run.standing import DEFAULT_LIMIT_DB
from qdebug.vocabulary.numbers import PARAMETERS
from qdebug.vocabulary.states import BROKEN, HARMLESS, STATE_WORDS


def vocabulary() -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "metrics": [
            {"name": metric.name, "heading": metric.heading, "form": metric.form}
            for metric in SHOWN
        ],
        "lead": [{"word": metric.word, "form": metric.form} for metric in LEAD],
        "fields": [
            {
                "name": field.name,
                "kind": field.kind,
                "paths": [path.split(".") for path in field.paths],
                "aliases": field.aliases,
            }
            for field in FIELDS.values()
        ],
        "states": STATE_WORDS,
        "broken": BROKEN,
        "harmless": HARMLESS,
        "effects": list(EFFECTS),
        "mostNamed": MOST_NAMED,
        "defaultLimit": DEFAULT_LIMIT_DB,
        "numbers": PARAMETERS,
    }


def vocabulary_script() -> Markup:
    """The script that stands before all others."""
    text = json.dumps(vocabulary(), ensure_ascii=True).replace("<", "\\u003c")
    return Markup(f'"use strict";\nconst layerVocabulary = {text};\n')
