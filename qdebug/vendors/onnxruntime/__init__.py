"""ONNX Runtime's own quantizer."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="onnxruntime",
    title="ONNX Runtime",
    aliases=("ort",),
    place=10,
    advice=".advice:ADVICE",
    encodings=".encodings:ENCODINGS",
)
