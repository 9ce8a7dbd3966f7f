"""The program: its options, and its commands, whose modules are loaded when they are called."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from imagestore.cli.location import Location

_COMMANDS: Final = {
    "images": "listing",
    "heads": "listing",
    "children": "listing",
    "ancestors": "listing",
    "bases": "lineage",
    "derived": "lineage",
    "layers": "lineage",
    "du": "lineage",
    "inspect": "inspecting",
    "history": "inspecting",
    "create": "changing",
    "tag": "changing",
    "rmi": "changing",
    "load": "loading",
    "save": "saving",
    "inspect-archive": "archives",
    "import-docker": "docker",
    "export-docker": "docker",
    "verify": "database",
    "gc": "garbage",
    "db": "database",
}
"""Each command and its module, in which it is a function of the same name, with "_" for "-"."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"imagestore.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


_NAMES: Final = [click.Command(name) for name in _COMMANDS]  # what click compares with a name that is mistyped


@click.group(
    cls=_Lazy, commands=_NAMES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.option(
    "--store",
    metavar="URL",
    envvar="IMAGESTORE_URL",
    show_envvar=True,
    help="The store's database: sqlite:///images.db, postgresql+psycopg://user@host/database. "
    "Default: a SQLite file in your data folder.",
)
@click.option("--schema", metavar="NAME", help="The PostgreSQL schema that has the tables.")
@click.option(
    "--content",
    metavar="DIR",
    envvar="IMAGESTORE_CONTENT",
    show_envvar=True,
    help="The folder that keeps the bytes of layers. Default: FILE-content beside an SQLite FILE.",
)
@click.version_option(package_name="imagestore", message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context, store: str | None, schema: str | None, content: str | None) -> None:
    """Docker's image store in a SQL database.

    An IMAGE is a name, app:1, or an ID, with or without "sha256:", or as many of its first digits as no other image has.

    \b
    Exit codes:
      0    done
      1    an error, which standard error tells
      2    wrong usage
      3    verify, inspect-archive or db check has found something
      130  interrupted

    \b
    Completion of commands and options in your shell:
      eval "$(_IMAGESTORE_COMPLETE=bash_source imagestore)"      # bash; zsh_source for zsh
      _IMAGESTORE_COMPLETE=fish_source imagestore | source       # fish

    \b
    Examples:
      imagestore import-docker /var/lib/docker
      imagestore images -a
      IMAGESTORE_URL=postgresql+psycopg://user@host/images imagestore heads
    """
    context.obj = Location(store, schema, content)


class AnyPath(click.Path):
    """A path, as the type of an argument; the shell completes it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty one, as of an unset variable, which would be the folder that one is in."""
        if not value:
            self.fail("a path has at least one character", param, ctx)
        return super().convert(value, param, ctx)


def image_term(value: str) -> str:
    """A name or an ID, as the type of an argument; not an empty one, as of an unset variable."""
    if not value:
        raise click.BadParameter("an image's name or ID has at least one character")
    return value
