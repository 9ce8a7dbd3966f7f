"""Where an archive comes from, and which of its platforms is meant: the same for all that read archives."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from imagestore.errors import InvalidError

if TYPE_CHECKING:
    from typing import BinaryIO

platform_option: Final = click.option(
    "--platform", metavar="OS/ARCH", help="Of an OCI layout that has images for several: linux/arm64, say."
)


def source_of(file: str) -> str | BinaryIO:
    """What the path of an archive stands for: standard input if it is "-".

    Raises:
        InvalidError: that is a terminal, or closed.
    """
    if file != "-":
        return file
    if sys.stdin is None or sys.stdin.isatty():
        command = click.get_current_context().info_name
        raise InvalidError(
            f"requested {command} from stdin, but stdin is empty: name a file, or write an archive into a pipe"
        )
    return sys.stdin.buffer
