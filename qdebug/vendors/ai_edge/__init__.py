"""Google's ai-edge-quantizer for LiteRT."""

from qdebug.vendors.vendor import Vendor

VENDOR = Vendor(
    __name__,
    name="ai-edge",
    title="ai-edge-quantizer",
    aliases=("litert", "tflite"),
    place=98,
    encodings=".encodings:ENCODINGS",
)
