"""``python -m caspy``."""

from __future__ import annotations

import sys

from caspy.cli import main

if __name__ == "__main__":
    sys.exit(main())
