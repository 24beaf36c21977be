"""The engine's cost, as ratios: ``python -m benchmarks``.

The other tables have commands of their own, because each takes minutes: ``python -m
benchmarks.faults``, ``.pairing``, ``.preprocess``, ``.memory`` and ``.browse``.
"""

from benchmarks.engine import main

raise SystemExit(main())
