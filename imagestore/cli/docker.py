"""To and from a Docker daemon: ``import-docker`` and ``export-docker``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from imagestore.cli.errors import ERROR, tell
from imagestore.cli.location import Location
from imagestore.cli.program import AnyPath

if TYPE_CHECKING:
    from imagestore.backend import Copied, Progress


@click.command()
@click.argument("path", type=AnyPath())
@click.pass_obj
def import_docker(location: Location, path: str) -> int | None:
    """Copy a Docker daemon's images into the store.

    Their parents, times and tags are copied too, and the sizes of their layers. A tag that is there already then stands for the daemon's
    image. PATH is the daemon's data root, its folder image/<driver>, or a tar of either, plain or
    compressed with gzip, bzip2 or xz. It is only read. Interrupted, run it again: it goes on where it was.

    What is damaged there, and a tag of an image that is not there, is left out and told; all else is imported, and the exit code is 1.

    \b
    Examples:
      imagestore import-docker /var/lib/docker
      imagestore import-docker examples/docker-root.tar
    """
    from imagestore.docker.data_root import import_data_root

    with location.open(create=True) as store, _progress("Importing") as progress:
        imported = import_data_root(path, store, progress)
    _tell(imported)
    tell(f"set {imported.references} tags and the sizes of {imported.sizes} layers")
    for line in imported.left_out:
        tell(f"left out: {line}")
    if not imported.left_out:
        return None
    tell("all else is in the store: mend there what was left out, and run this again")
    return ERROR


@click.command()
@click.argument("directory", type=AnyPath(file_okay=False))
@click.pass_obj
def export_docker(location: Location, directory: str) -> None:
    """Write all images as a Docker daemon has them.

    They go into DIRECTORY/imagedb, and their tags into DIRECTORY/repositories.json, which is what a daemon has in its folder
    image/<driver>. What is there already stays. Interrupted, run it again: it goes on where it was.

    \b
    Examples:
      imagestore export-docker ./image/overlay2
    """
    from imagestore.docker.data_root import export_data_root

    with location.open() as store, _progress("Exporting") as progress:
        copied = export_data_root(store, directory, progress)
    _tell(copied)


def _tell(copied: Copied) -> None:
    tell(f"copied {copied.blobs} images and {copied.metadata} values of metadata")


@contextmanager
def _progress(title: str) -> Iterator[Progress | None]:
    """A progress bar on standard error, if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int, phase: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{title} {phase}")

        yield show
