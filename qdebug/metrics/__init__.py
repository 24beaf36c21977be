"""Metrics of a tensor's error, over moments that are summed once."""
