"""Tensors that somebody else's program wrote: what a dump is, and dumps as plain files."""

from qdebug.dumps.dump import Dump, DumpTensor

__all__ = ["Dump", "DumpTensor"]
