"""Recovering the pipeline that made an input tensor."""

from qdebug.preprocess.recover.candidates import Source
from qdebug.preprocess.recover.engine import Recovery, recover
from qdebug.preprocess.recover.scene import TensorScene, guess_affine

__all__ = ["Recovery", "Source", "TensorScene", "guess_affine", "recover"]
