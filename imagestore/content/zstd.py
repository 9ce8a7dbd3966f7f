"""zstd: of the standard library from Python 3.14 on, of the package backports.zstd before. Loaded by who meets it, not before."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

zstd: Final[Any] = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
