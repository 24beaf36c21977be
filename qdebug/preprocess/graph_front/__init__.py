"""What the first nodes of a graph compute on its input, read symbolically.

Converters move normalization, channel order and layout into the graph: as Sub, Mul, Div or
BatchNormalization, as Transpose, as a reversed Gather, Slice or Split and Concat, or as a vendor's
own node. What they compute is written as steps of a spec, so that a pipeline and a graph can be
put together and compared with another pair.
"""

from qdebug.preprocess.graph_front.front import GraphFront
from qdebug.preprocess.graph_front.operators import read_front

__all__ = ["GraphFront", "read_front"]
