"""What is in an archive: ``inspect-archive``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from imagestore.cli.errors import FOUND
from imagestore.cli.limits import limited
from imagestore.cli.output import format_option, write_json_lines, write_lines, write_table
from imagestore.cli.program import AnyPath
from imagestore.cli.sizes import human_size
from imagestore.cli.sources import platform_option, source_of
from imagestore.cli.style import Style

if TYPE_CHECKING:
    from imagestore.archive.inspecting import InspectedImage, Inspection
    from imagestore.archive.limits import Limits


@click.command()
@click.argument("file", type=AnyPath())
@click.option("--verify", is_flag=True, help="Read all layers, too, and compare their digests.")
@click.option("--no-trunc", is_flag=True, help='Whole IDs, with "sha256:".')
@platform_option
@limited
@format_option
def inspect_archive(
    file: str, verify: bool, no_trunc: bool, platform: str | None, limits: Limits, format_: str
) -> int | None:
    """Show what is in an archive, without loading it.

    FILE is what "load" takes; "-" is standard input. Each layer of each image has a line: its diff ID, its size in the archive, with
    what it is compressed, and its name there. Below, and in JSON on the last line, is what "load" would refuse; the exit code is 3 then.

    \b
    Examples:
      imagestore inspect-archive examples/siblings.tar
      imagestore inspect-archive --verify --format json examples/siblings.tar
      docker save app:1 | imagestore inspect-archive -
    """
    from imagestore.archive.inspecting import inspect

    found = inspect(source_of(file), platform=platform, limits=limits, verify=verify)
    style = Style(format_, quiet=False, no_trunc=no_trunc)
    if format_ == "json":
        write_json_lines(_objects(found, style))
    else:
        rows = [row for each in found.images for row in _rows(each, style)]
        write_table(["IMAGE ID", "NAMES", "DIFF ID", "SIZE", "COMPRESSION", "FILE"], rows)
        write_lines(f"{problem.reason}: {problem.text}" for problem in found.problems)
    return FOUND if found.problems else None


def _rows(each: InspectedImage, style: Style) -> Iterator[list[str]]:
    """A row for each layer, the first with the image; one for an image without layers."""
    image = [style.id(each.image.image_id), ", ".join(tag.familiar for tag in each.tags)]
    if not each.layers:
        yield [*image, "", "", "", ""]
    for layer in each.layers:
        yield [*image, style.id(layer.diff_id), human_size(layer.size), layer.compression or "", layer.name]
        image = ["", ""]


def _objects(found: Inspection, style: Style) -> Iterator[dict[str, object]]:
    for image, tags, layers in found.images:
        yield {
            "Architecture": image.base_img_arch,
            "Created": str(image.created),
            "ID": style.id(image.image_id),
            "Layers": [
                {
                    "Compression": layer.compression,
                    "DiffID": style.id(layer.diff_id),
                    "File": layer.name,
                    "Size": layer.size,
                }
                for layer in layers
            ],
            "Names": [tag.familiar for tag in tags],
            "Os": image.operating_system,
        }
    yield {"Problems": [{"Reason": reason, "Text": text} for reason, text in found.problems]}
