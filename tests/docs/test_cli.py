"""docs/cli.md is what the commands' own help says."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from imagestore.cli.program import program
from imagestore.cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs/cli.md"


def commands(command, path="imagestore"):
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from commands(command.get_command(click.Context(command), name), f"{path} {name}")


COMMANDS = dict(commands(program))


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == reference(), "python -m imagestore.cli.reference > docs/cli.md"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_an_example(path):
    _, _, examples = COMMANDS[path].help.partition("Examples:\n")
    name = path.removeprefix("imagestore")
    assert f"imagestore{name}" in examples or (path == "imagestore db" and "imagestore db " in examples)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_list_of_commands_cuts_no_text_off(path):
    assert "..." not in COMMANDS[path].get_short_help_str(59)  # of 80 columns
