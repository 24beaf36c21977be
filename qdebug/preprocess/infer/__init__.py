"""Inferring a pipeline where the user gives none.

What the models tell (metadata, first nodes, the range that the input's quantizer was calibrated on,
the head) and what the float model answers on the given pictures are evidence. Each part of the
pipeline is taken only as far as the evidence separates it; the rest is named as doubtful.
"""

from qdebug.preprocess.infer.candidates import Habit, Normalization
from qdebug.preprocess.infer.decide import NORMALIZATION, Inference, Told, infer

__all__ = ["NORMALIZATION", "Habit", "Inference", "Normalization", "Told", "infer"]
