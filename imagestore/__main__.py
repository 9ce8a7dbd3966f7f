"""``python -m imagestore``: the command line."""

from __future__ import annotations

from imagestore.cli import main

if __name__ == "__main__":
    main()
