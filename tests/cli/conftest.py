"""The command line run in this process, and what it wrote."""

from __future__ import annotations

import io
import sys
from typing import NamedTuple

import pytest

from imagestore.cli.errors import run


class Result(NamedTuple):
    """The exit code of a command, and the text that it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def run_cli(capsys, monkeypatch):
    """Run a command line with the arguments, and bytes on standard input."""
    monkeypatch.delenv("IMAGESTORE_URL", raising=False)

    def run_one(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run_one


@pytest.fixture
def cli(run_cli, store):
    """Run a command on ``store``, on one engine and then on the other."""
    url = store.engine.url.render_as_string(hide_password=False)
    return lambda *arguments, stdin=b"": run_cli("--store", url, *arguments, stdin=stdin)
