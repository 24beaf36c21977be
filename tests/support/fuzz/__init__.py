"""Damaged files of every kind, made from a seed, and a worker that feeds them to the command.

What has to hold for each: an exit code that is documented, one sentence and a hint where there is
no verdict, nothing internal (no traceback, no "internal error"), no line of a library's own, no
escape sequence, no half-written file, and an end within the time and memory allowed.
"""

from tests.support.fuzz.cases import FAMILIES, Case, make_case
from tests.support.fuzz.judge import Outcome, run_cases

__all__ = ["FAMILIES", "Case", "Outcome", "make_case", "run_cases"]
