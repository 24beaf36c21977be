"""Capture: a memory plan, ONNX Runtime sessions, tensors streamed into statistics."""
