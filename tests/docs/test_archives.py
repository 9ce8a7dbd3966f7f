"""docs/archives.md: its session at the shell, with a real dockerd and skopeo and without, its Python, and its table of limits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import pytest

from imagestore.archive import Limits
from imagestore.verify import verify
from tests.docker.daemon import daemon

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "archives.md").read_text()
SIBLINGS = ROOT / "examples" / "siblings.tar"
(SESSION,) = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
STEPS = re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", SESSION, re.MULTILINE)
UNITS = {"MiB": 20, "GiB": 30, "TiB": 40}


def run(command, folder, **more):
    """What a line of the session prints, on standard output."""
    scripts = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", os.environ["PATH"]])
    environment = {**os.environ, "PATH": scripts, "COLUMNS": "200", "IMAGESTORE_URL": "sqlite:///images.db", **more}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def assert_printed(steps, folder, **more):
    for command, expected in steps:
        pattern = r"[^\n]*?".join(re.escape(part) for part in expected.split("…"))
        printed = run(command, folder, **more)
        assert re.fullmatch(pattern.replace(r"\ [^\n]*?\ ", r"\ +[^\n]*?\ +"), printed), (command, printed)


def test_the_session_begins_and_ends_as_told():
    commands = [command.split()[0] for command, _ in STEPS]
    assert commands[:3] == ["export", "docker", "imagestore"]
    assert commands[-3:] == ["imagestore", "skopeo", "imagestore"]
    assert "docker-archive" not in SESSION


def test_what_needs_no_other_program(tmp_path):
    """The same with docker's archive, that a daemon has written before."""
    shutil.copy(SIBLINGS, tmp_path / "siblings.tar")
    assert_printed([step for step in STEPS[2:-2] if step[0].startswith("imagestore")], tmp_path)


@pytest.mark.interop
def test_the_whole_session(tmp_path):
    """The daemon has the images; a short name for its folder: that of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="imagestore-") as name, daemon(Path(name)) as docker:
        docker.send("POST", "/images/load?quiet=1", SIBLINGS.read_bytes())
        assert_printed(STEPS[1:], tmp_path, DOCKER_HOST=f"unix://{name}/socket")


def test_the_blocks_of_python_run_in_order(database_url, tmp_path):
    session = {"DATABASE_URL": database_url, "FOLDER": tmp_path, "ARCHIVE": str(SIBLINGS)}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        exec(compile(block, "archives.md", "exec"), session)
    assert list(verify(session["store"], content=True)) == []
    session["store"].close()


def test_the_table_of_limits():
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([\d,]+)(?: (\wiB))? \|$", PAGE, re.MULTILINE)
    told = {name: int(number.replace(",", "")) << UNITS.get(unit, 0) for name, number, unit in rows}
    assert told == {field.name: field.default for field in fields(Limits)}
