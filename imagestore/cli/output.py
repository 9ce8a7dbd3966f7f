"""What goes to standard output: lines, tables and JSON. Text of an image is written so that it is shown and never obeyed."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click

_CONTROL: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_GAP: Final = "   "  # between two columns, as docker has it
_LEAST: Final = 7  # letters of a column, as docker has it
_WHOLE: Final = {"IMAGE", "IMAGE ID", "CREATED", "SIZE"}  # columns that are never folded
_NARROWEST: Final = 10  # letters of a folded column


def printable(text: str) -> str:
    """One line of text without anything that a terminal would act upon: such characters are shown as escapes."""
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_json(text: str) -> str:
    """JSON with the same values, but without anything that a terminal would act upon."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def write_lines(lines: Iterable[str]) -> None:
    """Write lines as they come."""
    for line in lines:
        sys.stdout.write(f"{printable(line)}\n")


def write_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as docker does; texts that are too long for the terminal are folded into their column, if that has room there."""
    cells = [[printable(cell.replace("\t", " ")) for cell in row] for row in rows]
    widths = [max(_LEAST, *map(len, column)) for column in zip(headings, *cells, strict=True)]
    if sys.stdout.isatty() and _must_fold(headings, widths):
        _write_folded(headings, cells)
        return
    for row in (headings, *cells):
        line = _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")


def write_json_lines(objects: Iterable[Mapping[str, Any]]) -> None:
    """Write each object on a line of its own."""
    for each in objects:
        sys.stdout.write(f"{_json(each)}\n")


def write_json(value: object) -> None:
    """Write a value as docker's inspect does."""
    sys.stdout.write(f"{_json(value, indent=4)}\n")


def format_option(command: Any) -> Any:
    """The option ``--format``, which is the same everywhere."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="A table, or a JSON object on each line.",
    )(command)


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _json(value: object, indent: int | None = None) -> str:
    ascii_only = not sys.stdout.encoding.lower().startswith("utf")
    return printable_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent))


def _must_fold(headings: Sequence[str], widths: Sequence[int]) -> bool:
    """Whether the table is wider than the terminal, and fits when it is folded."""
    narrowest = (w if heading in _WHOLE else min(w, _NARROWEST) for heading, w in zip(headings, widths, strict=True))
    room = shutil.get_terminal_size().columns - len(_GAP) * len(widths)
    return sum(narrowest) <= room < sum(widths)


def _write_folded(headings: Sequence[str], cells: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in _WHOLE)
    for row in cells:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)
