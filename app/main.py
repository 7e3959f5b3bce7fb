"""The dashboard's entry script: `streamlit run app/main.py`, or `python -m app`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app.shell import dashboard  # noqa: E402 (the project root must be on the path first)

dashboard()
