"""How each tensor and weight is quantized, as data: *encodings*.

They are read from a quantized graph (``extraction``) or from a toolchain's file (``vendors``), put
on a float graph (``placing`` finds the tensors, ``application`` writes the fake-quantized twin),
and written as a file of their own (``aimet``: AIMET's encodings 2.0.0, which speak in the words of
ONNX's QuantizeLinear) or, by ``vendors``, as a toolchain's.
"""

from qdebug.encodings.application import Application, apply_encodings
from qdebug.encodings.model import Encoding, Encodings, Entry

__all__ = ["Application", "Encoding", "Encodings", "Entry", "apply_encodings"]
