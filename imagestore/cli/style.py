"""How a listing is shown: the options that are the same for all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import click

from imagestore.cli.output import format_option

_DIGITS: Final = slice(7, 19)  # of "sha256:..." that docker shows


@dataclass(frozen=True)
class Style:
    """What the options of `listing` say.

    Args:
        format: "table" or "json".
        quiet: only IDs.
        no_trunc: IDs in full.
    """

    format: str
    quiet: bool
    no_trunc: bool

    def id(self, digest: str) -> str:
        """An ID as it is shown."""
        return digest if self.no_trunc else digest[_DIGITS]


def listing(command: Any) -> Any:
    """The options of a listing, handed to the command as one `Style`."""

    @format_option
    @click.option("-q", "--quiet", is_flag=True, help="Only IDs.")
    @click.option("--no-trunc", is_flag=True, help='Whole IDs, with "sha256:".')
    @wraps(command)
    def with_style(*args: Any, format_: str, quiet: bool, no_trunc: bool, **kwargs: Any) -> Any:
        return command(*args, style=Style(format_, quiet, no_trunc), **kwargs)

    return with_style
