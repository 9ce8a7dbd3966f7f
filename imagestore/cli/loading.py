"""Images from an archive: ``load``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from imagestore.cli.errors import failure, raise_broken_pipes
from imagestore.cli.limits import limited
from imagestore.cli.location import Location
from imagestore.cli.output import printable_json, write_lines
from imagestore.cli.program import AnyPath
from imagestore.cli.sources import platform_option, source_of

if TYPE_CHECKING:
    from imagestore.archive.limits import Limits
    from imagestore.archive.messages import Line, Report


@click.command()
@click.option(
    "-i", "--input", "file", metavar="FILE", default="-", type=AnyPath(), help='Default: "-", standard input.'
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option(
    "--json", "as_json", is_flag=True, help="Write what the daemon's API does: JSON messages, also of progress."
)
@platform_option
@limited
@click.pass_obj
def load(location: Location, file: str, quiet: bool, as_json: bool, platform: str | None, limits: Limits) -> None:
    """Load the images of an archive, with their layers and tags.

    FILE is what "docker save" and others write, or an OCI image layout, a tar or a folder; plain or compressed with gzip, bzip2, xz or
    zstd. A tag that another image has then stands for the one in the archive. Layers that are there already are not written again. Where
    an image is refused, those before it stay, and the exit code is 1. A terminal shows how far each layer is.

    \b
    Examples:
      imagestore load -i examples/siblings.tar
      docker save app:1 | imagestore load
      curl -s https://example.org/app.tar.zst | imagestore load --limit layer=20GiB
    """
    source = source_of(file)
    from imagestore.archive.loading import load as load_archive

    raise_broken_pipes()
    with (
        location.open(create=True, with_content=True) as store,
        _messages(quiet=quiet) if as_json else _lines(quiet=quiet) as report,
    ):
        load_archive(store, source, platform=platform, limits=limits, report=report)


@contextmanager
def _messages(*, quiet: bool) -> Iterator[Report]:
    """The daemon's messages on standard output, the last of them of an error."""
    from imagestore.archive.messages import Failure, Message, Progress

    def write(message: Message | Failure) -> None:
        if not (quiet and isinstance(message, Progress)):
            sys.stdout.buffer.write(printable_json(message.to_json().decode()).encode())
            sys.stdout.buffer.flush()

    try:
        yield write
    except Exception as error:
        if text := failure(error):
            write(Failure(text))
        raise


@contextmanager
def _lines(*, quiet: bool) -> Iterator[Report]:
    """Docker's lines on standard output; on standard error, if that is a terminal, how far each layer is."""
    from imagestore.archive.messages import Line, Message

    if quiet or sys.stderr is None or not sys.stderr.isatty():

        def write(message: Message) -> None:
            if isinstance(message, Line):
                _write_line(message)

        yield write
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("Loading", total=None)
        shown = ""

        def show(message: Message) -> None:
            nonlocal shown
            if isinstance(message, Line):
                bar.stop()  # so that nothing of it stays beside the line
                _write_line(message)
                bar.start()
                return
            if message.id != shown:
                shown = message.id
                bar.reset(task, description=f"Loading layer {shown}", total=message.total)
            bar.update(task, completed=message.current)

        yield show


def _write_line(line: Line) -> None:
    write_lines([line.text.removesuffix("\n")])
    sys.stdout.flush()
