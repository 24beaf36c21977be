"""Measurements of cost and of being right, as tables in Markdown."""
