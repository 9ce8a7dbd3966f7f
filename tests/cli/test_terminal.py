"""On a terminal: tables and a progress bar; and never what an image says to the terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imagestore.testing.makers import make_config

TAR = Path(__file__).parents[2] / "examples/docker-root.tar"
HOSTILE = "\x1b[31mred\x1b]0;title\x07\r\x08\x9b31m\x7f\u202edesrever\u2028next\nline\t[bold]end"
SHOWN = "\\x1b[31mred\\x1b]0;title\\x07\\r\\x08\\x9b31m\\x7f\\u202edesrever\\u2028next\\nline"


@pytest.fixture
def image_id(store):
    step = {"created_by": HOSTILE, "comment": HOSTILE, "empty_layer": True}
    return store.create(make_config(HOSTILE, author=HOSTILE, history=[step]))


def on_terminal(*arguments, stream, columns=200):
    """Run the command with one of its streams on a terminal; all that it wrote there, and what it wrote to the other."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "imagestore", *map(str, arguments)],
        env=environment,
        stdout=theirs if stream == "stdout" else subprocess.PIPE,
        stderr=theirs if stream == "stderr" else subprocess.PIPE,
    )
    os.close(theirs)
    written = b""
    try:
        while more := os.read(ours, 65536):
            written += more
    except OSError:  # EIO: the other end is closed
        pass
    os.close(ours)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return written.decode(), (out or err or b"").decode()


def is_harmless(text):
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize("command", ["history", "inspect"])
@pytest.mark.parametrize("more", [[], ["--no-trunc"], ["--format", "json"]])
def test_text_of_an_image_is_shown_and_not_obeyed(cli, image_id, command, more):
    if command == "inspect" and more:
        more = [image_id]
    code, out, err = cli(command, *more, image_id)
    assert (code, err) == (0, "")
    assert is_harmless(out)
    assert "red" in out


def test_a_table_has_escapes(cli, image_id):
    assert SHOWN in cli("history", "--no-trunc", image_id).out


def test_json_has_the_very_text(cli, image_id):
    assert json.loads(cli("inspect", image_id).out)[0]["Comment"] == HOSTILE
    assert json.loads(cli("history", "--format", "json", "--no-trunc", image_id).out)["Comment"] == HOSTILE


@pytest.mark.parametrize("columns", [120, 1000])
def test_a_table_on_a_terminal(sqlite_store, columns):
    """It is folded where the terminal is narrow, and never an ID."""
    steps = [{"created_by": 20 * "word ", "comment": f"[bold]end{HOSTILE}", "empty_layer": True}]
    image_id = sqlite_store.create(make_config(history=steps))
    command = "--store", sqlite_store.engine.url, "history", "--no-trunc", image_id
    written, _ = on_terminal(*command, stream="stdout", columns=columns)
    lines = [line.rstrip() for line in written.splitlines()]
    assert (len(lines) > 2) == (columns == 120)
    assert max(map(len, lines)) <= columns
    assert [line for line in lines if image_id in line] == [line for line in lines if line.startswith(image_id)] != []
    assert written.count("word") == 20
    assert "[bold]" in written, "an image's text is no markup"
    assert is_harmless(written.replace("\r\n", "\n"))


@pytest.mark.parametrize("columns", [20, 80, 100])
@pytest.mark.parametrize("command", ["images", "history"])
def test_a_table_that_cannot_be_folded_keeps_its_lines(sqlite_store, columns, command):
    """There is no room beside the IDs: the terminal may break the lines, but nothing is cut off."""
    image_id = sqlite_store.create(make_config(history=[{"created_by": "COPY . /src", "empty_layer": True}]))
    arguments = [image_id] if command == "history" else []
    store = "--store", sqlite_store.engine.url
    written, _ = on_terminal(*store, command, "--no-trunc", *arguments, stream="stdout", columns=columns)
    (line,) = written.splitlines()[1:]
    assert image_id in re.split(" {3,}", line)
    assert re.split(" {3,}", line.rstrip())[-2:][0].endswith("COPY . /src" if command == "history" else " ago")


def test_a_progress_bar(sqlite_store, tmp_path):
    written, out = on_terminal("--store", sqlite_store.engine.url, "import-docker", TAR, stream="stderr")
    assert "Importing blobs" in written or "Importing metadata" in written
    assert "10/10" in written
    assert out == ""
    written, out = on_terminal("--store", sqlite_store.engine.url, "export-docker", tmp_path / "vfs", stream="stderr")
    assert "Exporting" in written
    assert out == ""
