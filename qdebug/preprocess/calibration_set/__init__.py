"""Holding a calibration set against the pipeline that the model is fed with."""

from qdebug.preprocess.calibration_set.entries import Entry, read_set
from qdebug.preprocess.calibration_set.judge import judge_set

__all__ = ["Entry", "judge_set", "read_set"]
