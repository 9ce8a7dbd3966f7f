"""The page of all commands, made of their own help: ``python -m imagestore.cli.reference > docs/cli.md``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from imagestore.cli.program import program

_TITLE: Final = """# The command line

This page is the help of each command, as `imagestore COMMAND --help` shows it, written by
`python -m imagestore.cli.reference > docs/cli.md`. `pip install '.[cli]'` in a clone installs the command."""


def reference() -> str:
    """The page, in Markdown."""
    return "\n\n".join([_TITLE, *_sections(program, _context(program, "imagestore", None))]) + "\n"


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    context.terminal_width = 100
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    yield "\n".join([f"## {context.command_path}", "", "```text", *lines, "```"])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _sections(below, _context(below, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
