"""Images and names come and go: ``create``, ``tag`` and ``rmi``."""

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
@click.argument("source", metavar="IMAGE", type=image_term)
@click.argument("target", metavar="NAME[:TAG]")
@click.pass_obj
def tag(location: Location, source: str, target: str) -> None:
    """Give IMAGE a name, which another one loses.

    Without TAG it is "latest".

    \b
    Examples:
      imagestore tag 22fe1f881d17 app:1
      imagestore tag app:1 registry.example.org/team/app:stable
    """
    from imagestore.docker.rules import tag_image

    with location.open() as store:
        tag_image(store, source, target)


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=image_term)
@click.option("-f", "--force", is_flag=True, help="Also images with several names; a missing one is no failure.")
@click.option("--no-prune", is_flag=True, help="Leave parents that have no name.")
@click.pass_obj
def rmi(location: Location, images: tuple[str, ...], force: bool, no_prune: bool) -> int | None:
    """Remove names and images.

    IMAGE by a name loses that name; with its last one it is removed, if no other is built on it. By its ID it is removed, with its name
    if it has but one. With it go the layers that it alone has, and each parent without a name that has no other child. Each IMAGE is
    removed if it can be; if one cannot, the exit code is 1.

    \b
    Examples:
      imagestore rmi app:1
      imagestore rmi $(imagestore children -q 594c14735d44) 594c14735d44
    """
    from imagestore.docker.rules import remove_image
    from imagestore.errors import ImageNotFoundError, ImageStoreError

    failures = []
    code = None
    with location.open(with_content=True) as store:
        for term in images:
            try:
                write_lines(map(str, remove_image(store, term, force=force, prune=not no_prune)))
            except ImageStoreError as error:
                failures.append(failure(error))
                if not (force and isinstance(error, ImageNotFoundError)):
                    code = ERROR
    for each in failures:
        tell(each)
    return code


def _read(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
