"""Run a command, and tell of its failure in words: the exit code, and what goes to standard error.

An error of imagestore, of a database or of the operating system is told in a line or two, its remedy included. What is left is a
mistake of ours, and has its traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import click

from imagestore.cli.output import printable
from imagestore.cli.program import program
from imagestore.errors import ImageStoreError

ERROR: Final = 1
FOUND: Final = 3
"""What ``verify``, ``inspect-archive`` and ``db check`` exit with when they have found something; 2 is click's, for wrong usage."""
INTERRUPTED: Final = 130


def run(arguments: Sequence[str]) -> int:
    """Run the command line with these arguments, and return the exit code."""
    if sys.stdout is None:
        tell("standard output is closed: there is nowhere to write the result to")
        return ERROR
    try:
        code = program.main(list(arguments), prog_name="imagestore", standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        lines = list(_told(error))
        if not lines:
            raise
        tell(*lines)
        drop_output()
        return ERROR
    return code or 0


def tell(*lines: str) -> None:
    """Write lines to standard error, the first of them with the program's name."""
    for number, line in enumerate(lines):
        click.echo(f"{'  ' if number else 'imagestore: '}{printable(line)}", err=True)


def failure(error: Exception) -> str:
    """What an expected error says, in one line; its notes come after a semicolon."""
    return "; ".join(_told(error))


def _told(error: Exception) -> Iterator[str]:
    """The lines that an error says, with the remedies that are its notes; none for an error that is not expected."""
    text = _text(error)
    if text is not None:
        yield from text.splitlines()
        yield from getattr(error, "__notes__", ())


def _text(error: Exception) -> str | None:
    if isinstance(error, ImageStoreError):
        return str(error)
    if isinstance(error, OSError):
        name = error.filename
        return (
            f"{os.fsdecode(name)}: {error.strerror}" if isinstance(name, str | bytes) else error.strerror or str(error)
        )
    if isinstance(error, ModuleNotFoundError) and (package := str(error.name).partition(".")[0]) in {
        "platformdirs",
        "rich",
    }:
        return (
            f"this needs the package {package!r}, which is not installed: pip install '.[cli]' in a clone of imagestore"
        )
    if "sqlalchemy.exc" in sys.modules:
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        from imagestore.sql.driver_errors import add_remedy

        if isinstance(error, DBAPIError):
            add_remedy(error)
            return str(error.orig).strip() or type(error.orig).__name__  # without the statement and its values
        if isinstance(error, SQLAlchemyError):
            return str(error)
    return None


def raise_broken_pipes() -> None:
    """From now on a reader that goes is an error, and no end of the process, so that leases end."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def drop_output() -> None:
    """Where standard output is what failed, what is left in its buffer would fail once more at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
