"""What every test stands on: `tests/` on the import path, so that `lab` is importable.

Fixtures for real machines belong to `machine/conftest.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)
