"""Task-level results: what quantization changes in what the model is used for.

The outputs of both models are read as class scores, boxes, maps or text, and the decisions are
compared: whole-tensor numbers of a detector can look perfect while it finds nothing. One module
a task; ``recognize`` says which one a model does, ``TaskWatch`` counts over the samples.
"""

from qdebug.analysis.tasks.priors import prior_constants
from qdebug.analysis.tasks.recognize import check_task_name, choose_task
from qdebug.analysis.tasks.task import OutputFacts, Task, TaskLimits, class_names, wilson
from qdebug.analysis.tasks.watch import FEW_DECISIONS, Shown, TaskOutcome, TaskWatch, shaped_like

__all__ = [
    "FEW_DECISIONS",
    "OutputFacts",
    "Shown",
    "Task",
    "TaskLimits",
    "TaskOutcome",
    "TaskWatch",
    "check_task_name",
    "choose_task",
    "class_names",
    "prior_constants",
    "shaped_like",
    "wilson",
]
