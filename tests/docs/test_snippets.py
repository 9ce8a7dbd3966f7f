"""The Python of the documentation's pages, and the shell between it, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imagestore.testing.makers import make_layer

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["embedding.md", "layers.md", "backup.md"])
def test_the_blocks_of_a_page_run_in_order(page, database_url, tmp_path, monkeypatch):
    blocks = re.findall(r"^```(python|console)\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    session = {
        "DATABASE_URL": database_url,
        "FOLDER": tmp_path / "content",
        "LOWER": make_layer("lower"),
        "UPPER": make_layer("upper"),
    }
    monkeypatch.setenv("IMAGESTORE_URL", database_url)
    monkeypatch.setenv("IMAGESTORE_CONTENT", str(tmp_path / "layers"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for language, block in blocks:
        if language == "python":
            exec(compile(block, page, "exec"), session)
        else:
            at_the_shell(block)
    session["store"].close()
    if "engine" in session:
        session["engine"].dispose()


def at_the_shell(block):
    """Run each line, which is a command."""
    for line in block.splitlines():
        prompt, _, command = line.partition(" ")
        assert prompt == "$"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert len(done.stdout.splitlines()) > 1, f"{command} shows nothing but its headings"


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_link_of_a_page_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (DOCS / page).read_text())
    assert [link for link in links if "://" not in link and not (DOCS / link).exists()] == []
