"""Thousands of damaged files: ``python -m benchmarks.fuzz --seed 1 --cases 2000``.

Prints a table of what went wrong by family, and the arguments of each such case. ``--from 500
--cases 500`` runs a part; the cases are those of the whole job.
"""

from __future__ import annotations

import argparse
import collections
import tempfile
from pathlib import Path

from tests.support.fuzz import FAMILIES, run_cases
from tests.support.fuzz.base import make_base


def main() -> int:
    """Run the job; 1 where a case went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--from", type=int, default=0, dest="first", help="number of the first case"
    )
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of single cases")
    args = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    codes: collections.Counter[tuple[str, int | None]] = collections.Counter()
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = make_base(folder / "base")
        numbers = args.only or range(args.first, args.first + args.cases)
        for outcome in run_cases(base, args.seed, list(numbers), folder):
            counts[outcome.family] += 1
            codes[outcome.family, outcome.code] += 1
            if outcome.wrong:
                bad += 1
                print(f"{outcome.number} {outcome.family}: {'; '.join(outcome.wrong)}")
                print(f"    {' '.join(outcome.arguments)[:300]!r}")
                print(f"    {outcome.err[:400]!r}", flush=True)
    for family in FAMILIES:
        shown = {code: n for (f, code), n in sorted(codes.items(), key=str) if f == family}
        print(f"{family:<30} {counts[family]:>5}  {shown}")
    print(f"{sum(counts.values())} cases, {bad} wrong")
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
