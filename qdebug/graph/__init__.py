"""ONNX graphs: loading, quantization parameters, pairing and rewriting."""
