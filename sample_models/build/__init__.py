"""Rebuilds everything in this folder: ``python -m sample_models.build``."""
