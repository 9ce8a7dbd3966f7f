"""The Python of the documentation's pages, run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imagestore.testing.makers import make_layer

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["embedding.md", "layers.md", "backup.md"])
def test_the_blocks_of_a_page_run_in_order(page, database_url, tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    session = {
        "DATABASE_URL": database_url,
        "FOLDER": tmp_path / "content",
        "LOWER": make_layer("lower"),
        "UPPER": make_layer("upper"),
    }
    for block in blocks:
        exec(compile(block, page, "exec"), session)
    session["store"].close()
    if "engine" in session:
        session["engine"].dispose()


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_link_of_a_page_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (DOCS / page).read_text())
    assert [link for link in links if "://" not in link and not (DOCS / link).exists()] == []
