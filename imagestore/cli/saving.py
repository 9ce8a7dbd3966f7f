"""Images into an archive: ``save``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from imagestore.cli.errors import ERROR, drop_output, raise_broken_pipes, tell
from imagestore.cli.location import Location, naming_content
from imagestore.cli.program import AnyPath, image_term

if TYPE_CHECKING:
    from imagestore.archive.layout import Compression
    from imagestore.archive.saving import Format


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=image_term)
@click.option("-o", "--output", metavar="FILE", type=AnyPath(), help='Default: "-", standard output.')
@click.option(
    "--format",
    "format_",
    type=click.Choice(["docker", "oci"]),
    default="docker",
    show_default=True,
    help="What docker 20.10 writes, or an OCI image layout.",
)
@click.option("--compression", type=click.Choice(["gzip", "zstd"]), help="Compress the layers of an OCI image layout.")
@click.pass_obj
def save(
    location: Location, images: tuple[str, ...], output: str | None, format_: Format, compression: Compression | None
) -> int | None:
    """Write images to an archive.

    Docker, podman and skopeo load it. IMAGE by a name without a tag is saved with all of its tags; by its ID without any. FILE is there
    whole or not at all: it takes the place of an earlier one when all of it is written. The same images are the same bytes.

    \b
    Examples:
      imagestore save -o app.tar app:1 app:2
      imagestore save app:1 | ssh host docker load
      imagestore save --format oci --compression zstd -o app.tar app:1
    """
    if compression and format_ == "docker":
        raise click.UsageError("docker's archive has plain layers: --compression goes with --format oci")
    if output == "-":
        output = None
    if output is None and sys.stdout.isatty():
        tell("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        return ERROR
    from imagestore.archive.saving import save, save_to

    with location.open(with_content=True) as store, naming_content():
        try:
            if output is not None:
                save_to(store, images, output, format=format_, compression=compression)
                return None
            raise_broken_pipes()
            save(store, images, sys.stdout.buffer, format=format_, compression=compression)
            sys.stdout.flush()
        except BrokenPipeError:  # which click would pass over in silence
            tell("standard output was closed before the archive was whole: Broken pipe")
            drop_output()
            return ERROR
    return None
