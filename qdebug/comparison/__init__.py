"""The main job: compare a float graph with its quantized twin on the same inputs."""

from qdebug.comparison.compare import compare

__all__ = ["compare"]
