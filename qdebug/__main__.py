"""``python -m qdebug``."""

from __future__ import annotations

import sys

from qdebug.cli import main

if __name__ == "__main__":
    sys.exit(main())
