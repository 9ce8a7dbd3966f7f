"""The README's examples, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def run(command, folder, **more):
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": scripts, "XDG_DATA_HOME": str(folder), "COLUMNS": "200", **more}
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.fixture
def folder(tmp_path):
    """A folder in which the README's Python has run."""
    (code,) = blocks("python")
    printed = run([sys.executable, "-c", code], tmp_path)
    assert printed == "sha256:22fe1f881d178c5345aa656508de320bcb233bf697b733ff99f06f09dd764df7 on top True\n"
    return tmp_path


def test_the_session_at_the_shell(folder):
    (session,) = blocks("console")
    commands = re.findall(r"^\$ (.*)\n", session, re.MULTILINE)
    expected = re.split(r"^\$ .*\n", session, flags=re.MULTILINE)[1:]
    setting, *commands = commands
    name, _, value = setting.removeprefix("export ").partition("=")
    assert [
        run(["bash", "-o", "pipefail", "-c", command], folder, **{name: value}) for command in commands
    ] == expected[1:]


def test_two_lines_for_a_newcomer():
    """The first two are the main job and the tests, each one line: CI and others find them by that."""
    main_job, tests = blocks("sh")[:2]
    assert main_job.count("\n") == tests.count("\n") == 1
    assert "load -i examples/siblings.tar" in main_job
    assert "--require-hashes -r requirements/test.txt" in tests


def test_the_first_command_shows_images_and_the_layers_that_they_share(tmp_path):
    """What the line does once it is installed."""
    commands = [part.split() for part in blocks("sh")[0].split(" && ") if ".venv/bin/imagestore" in part]
    shown = [
        subprocess.run(
            [sys.executable, "-m", "imagestore", *arguments],
            cwd=ROOT,
            env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.splitlines()
        for _, *arguments in commands
    ]
    loaded, images, layers = shown
    assert loaded == ["Loaded image: base:1", "Loaded image: left:1", "Loaded image: right:1"]
    assert {line.split()[0] for line in images[1:]} == {"base", "left", "right"}
    assert len(layers[1:]) == 5, "of seven that the images have, three are one"


def test_every_link_leads_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
