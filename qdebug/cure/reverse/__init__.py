"""The reverse pass of a float network, written as ONNX.

One run of it, in plain ONNX Runtime, gives the gradient of a weighted sum of the outputs at every
tensor that is asked for: what an error there does to the outputs, to first order.
"""

from qdebug.cure.reverse.build import NOT_FLOAT, NOWHERE, Reverse, reverse_graph

__all__ = ["NOT_FLOAT", "NOWHERE", "Reverse", "reverse_graph"]
