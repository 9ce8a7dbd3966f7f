"""Images come and go: ``create`` and ``rmi``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imagestore.cli.errors import ERROR, failure, tell
from imagestore.cli.location import Location
from imagestore.cli.output import write_lines
from imagestore.cli.program import AnyPath, image_term


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=AnyPath())
@click.pass_obj
def create(location: Location, files: tuple[str, ...]) -> None:
    """Store image configurations, and print their IDs.

    A FILE is an image's configuration in JSON, which is stored byte for byte; "-" is standard input. All of them are stored, or none.

    \b
    Examples:
      imagestore create config.json
      skopeo inspect --config --raw docker://example.org/image | imagestore create -
    """
    from imagestore.errors import InvalidImageError

    configs = [(file, _read(file)) for file in files]  # before a transaction begins, which others would wait for
    created = []
    with location.open(create=True) as store, store.begin() as joined:
        for file, config in configs:
            try:
                created.append(joined.create(config))
            except InvalidImageError as error:
                error.add_note(f"that is in {'standard input' if file == '-' else file}; nothing has been stored")
                raise
    write_lines(created)


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=image_term)
@click.pass_obj
def rmi(location: Location, images: tuple[str, ...]) -> int | None:
    """Remove images that have no children.

    Each is removed if it can be; if one cannot, the exit code is 1. Parents stay, as with docker's --no-prune.

    \b
    Examples:
      imagestore rmi 22fe1f881d17
      imagestore rmi $(imagestore children -q 594c14735d44) 594c14735d44
    """
    from imagestore.docker.rules import remove_image
    from imagestore.errors import ImageStoreError

    failures = []
    with location.open() as store:
        for term in images:
            try:
                image_id = store.search(term)
                remove_image(store, image_id)
            except ImageStoreError as error:
                failures.append(failure(error))
            else:
                write_lines([f"Deleted: {image_id}"])
    for each in failures:
        tell(each)
    return ERROR if failures else None


def _read(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
