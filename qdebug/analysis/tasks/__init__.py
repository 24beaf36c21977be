"""Task-level results: what quantization changes in what the model is used for.

The outputs of both models are read as class scores, boxes, maps or text, and the decisions are
compared: whole-tensor numbers of a detector can look perfect while it finds nothing. One module
a task; ``recognize`` says which one a model does, ``TaskWatch`` counts over the samples.
"""

from qdebug.analysis.tasks.priors import prior_constants
from qdebug.analysis.tasks.recognize import check_task_name
from qdebug.analysis.tasks.task import Task, TaskLimits, wilson
from qdebug.analysis.tasks.watch import FEW_DECISIONS, Shown, TaskOutcome, TaskWatch, shaped_like

__all__ = [
    "FEW_DECISIONS",
    "Shown",
    "Task",
    "TaskLimits",
    "TaskOutcome",
    "TaskWatch",
    "check_task_name",
    "prior_constants",
    "shaped_like",
    "wilson",
]
