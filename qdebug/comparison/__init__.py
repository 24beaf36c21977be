"""The main job: compare a float graph with its quantized twin on the same inputs."""

from qdebug import collector

with collector.paused():  # what is imported stays
    from qdebug.comparison.compare import compare

__all__ = ["compare"]
