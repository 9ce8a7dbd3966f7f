"""The command as a process among others: what it loads, how it ends, and that it can be completed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from imagestore.store import Store
from imagestore.testing.makers import make_config

PROGRAM = [sys.executable, "-m", "imagestore"]
LOADED = """
import sys
from imagestore.cli.errors import run
code = run(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def url(sqlite_store):
    return str(sqlite_store.engine.url)


def loaded(*arguments):
    done = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


def run(*arguments, **more):
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False, **more)


def test_the_version_loads_nothing_of_the_store():
    modules = loaded("--version")
    ours = {name for name in modules if name.partition(".")[0] == "imagestore"}
    cli = {f"imagestore.cli.{name}" for name in ("errors", "location", "output", "program")}
    assert ours == {"imagestore", "imagestore.errors", "imagestore.cli", *cli}
    assert (
        modules & {"alembic", "msgspec", "platformdirs", "psycopg", "rich", "sqlalchemy", "sqlite3", "tarfile"} == set()
    )


@pytest.mark.parametrize("command", [["images"], ["images", "-a", "--format", "json"], ["heads", "-q"]])
def test_a_listing_loads_what_it_uses(url, command):
    modules = loaded("--store", url, *command)
    unused = {"alembic", "platformdirs", "psycopg", "rich", "tarfile"}
    unused |= {
        f"imagestore.{name}"
        for name in ("migrate", "restore", "testing", "v1", "verify", "backends.filesystem", "docker.data_root")
    }
    unused |= {f"imagestore.cli.{name}" for name in ("changing", "database", "docker", "inspecting", "reference")}
    assert modules & unused == set()
    assert "imagestore.cli.listing" in modules


def test_the_help_loads_no_database():
    assert loaded("--help") & {"sqlalchemy", "msgspec", "rich", "alembic"} == set()
    assert loaded("images", "--help") & {"sqlalchemy", "msgspec", "rich", "alembic"} == set()


def test_the_version(url):
    from importlib.metadata import version

    assert run("--version").stdout == f"imagestore {version('imagestore')}\n"


@pytest.mark.parametrize("missing", ["click", "platformdirs", "rich"])
def test_without_the_extra_it_says_how_to_install(missing, tmp_path, url):
    code = f"""
import sys
sys.modules[{missing!r}] = None
sys.stderr.isatty = lambda: True
from imagestore.cli import main
main()
"""
    arguments = [] if missing == "platformdirs" else ["--store", url]
    command = ["export-docker", str(tmp_path)] if missing == "rich" else ["images"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, *command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install '.[cli]'" in done.stderr
    assert missing in done.stderr
    assert len(done.stderr.splitlines()) == 1


def in_shell(script, url):
    environment = {**os.environ, "IMAGESTORE_URL": url, "PROGRAM": " ".join(PROGRAM)}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)


def test_a_reader_that_has_seen_enough(url, sqlite_store):
    """As any program in a pipe: it ends at once, by SIGPIPE, and says nothing."""
    sqlite_store.create_many(make_config(number) for number in range(3000))
    done = in_shell('$PROGRAM images -q --no-trunc | head -n 1; echo "${PIPESTATUS[@]}"', url)
    first, codes = done.stdout.splitlines()
    assert first.startswith("sha256:")
    assert codes == f"{128 + signal.SIGPIPE} 0"
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["images", "rmi dead", "--version"])
def test_a_closed_standard_output(url, command):
    done = in_shell(f"$PROGRAM {command} >&-", url)
    assert done.returncode == 1
    assert done.stderr == "imagestore: standard output is closed: there is nowhere to write the result to\n"


def test_a_full_disk_under_standard_output(url):
    done = in_shell("$PROGRAM images > /dev/full", url)
    assert done.returncode == 1
    assert done.stderr == "imagestore: No space left on device\n"


def test_a_locale_without_the_letters(url, sqlite_store):
    step = {"created_by": "RUN é", "comment": "é", "empty_layer": True}
    image_id = sqlite_store.create(make_config("é", history=[step]))
    for command in (f"history {image_id}", f"inspect {image_id}"):
        done = in_shell(f"PYTHONIOENCODING=ascii $PROGRAM {command}", url)
        assert (done.returncode, done.stderr) == (0, "")
        assert "\\xe9" in done.stdout or "\\u00e9" in done.stdout


@pytest.fixture
def heeds_interrupts():
    """A shell's background jobs ignore SIGINT, and so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
def test_an_interrupt(url, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [*PROGRAM, "--store", url, "create", fifo], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with fifo.open("wb"):  # opens when the command has opened the other end, and so is at work
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err
    with Store.open(url) as store:
        assert len(store) == 0


def test_two_commands_create_one_database(tmp_path):
    """Both find no tables, and one of them makes them."""
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    started = [
        subprocess.Popen([*PROGRAM, "images", "-q"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [(process.communicate(), process.returncode) for process in started] == 3 * [((b"", b""), 0)]


def complete(words):
    environment = {**os.environ, "_IMAGESTORE_COMPLETE": "bash_complete", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    done = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=False)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_the_shell_completes_commands_and_options():
    assert complete("imagestore im") == ["images", "import-docker"]
    assert complete("imagestore db ") == ["check", "current", "upgrade"]
    assert "--no-trunc" in complete("imagestore images --")
    assert complete("imagestore images --format ") == ["table", "json"]


@pytest.mark.parametrize("command", ["create", "import-docker", "export-docker"])
def test_the_shell_completes_paths(command):
    """It does so itself, where it is told that what is written so far is one."""
    assert complete(f"imagestore {command} ./exa") == ["./exa"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_learns_to_complete(shell):
    done = subprocess.run(
        PROGRAM,
        env={**os.environ, "_IMAGESTORE_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_IMAGESTORE_COMPLETE" in done.stdout
