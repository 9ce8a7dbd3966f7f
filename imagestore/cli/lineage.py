"""What is built on what by layers, and what that weighs: ``bases``, ``derived``, ``layers``, ``du``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import click

from imagestore.cli import ages
from imagestore.cli.location import Location
from imagestore.cli.output import write_json_lines, write_lines, write_table
from imagestore.cli.program import image_term
from imagestore.cli.sizes import human_size, size
from imagestore.cli.style import Style, listing

if TYPE_CHECKING:
    from imagestore.digest import ImageID
    from imagestore.layer import StoredLayer
    from imagestore.sql.sharing import Sizes
    from imagestore.store import Store

_PAGE: Final = 1000


@click.command()
@click.argument("image", type=image_term)
@listing
@click.pass_obj
def bases(location: Location, image: str, style: Style) -> None:
    """List the images that IMAGE is built on, the nearest first.

    These are all whose layers IMAGE begins with, whether or not a parent is recorded; one that has the very same layers is among them.

    \b
    Examples:
      imagestore bases app:1
      imagestore bases -q 22fe1f881d17 | tail -n 1     # the lowest
    """
    from imagestore.docker.rules import resolve

    with location.open() as store, store.reading() as snapshot:
        image_id = resolve(snapshot, image)
        after = None
        found = []
        while page := snapshot.lineage.bases(image_id, after, _PAGE):
            after = page[-1]
            names = _names(snapshot, [each.image_id for each in page])
            found += [(each.image_id, names[each.image_id], each.layers) for each in page]
    if style.quiet:
        write_lines(style.id(base) for base, _, _ in found)
    elif style.format == "json":
        write_json_lines({"ID": style.id(base), "Layers": layers, "Names": names} for base, names, layers in found)
    else:
        rows = ((style.id(base), str(layers), ", ".join(names)) for base, names, layers in found)
        write_table(["IMAGE ID", "LAYERS", "NAMES"], rows)


@click.command()
@click.argument("image", type=image_term)
@listing
@click.pass_obj
def derived(location: Location, image: str, style: Style) -> None:
    """List the images that are built on IMAGE.

    These are all that begin with its layers, whether or not a parent is recorded; one that has the very same layers is among them. Each
    comes before those that are built on it. LAST USED is when a service has noted a use of the image.

    \b
    Examples:
      imagestore derived debian:11
      imagestore derived -q 22fe1f881d17 | wc -l
    """
    from imagestore.docker.rules import resolve

    with location.open() as store, store.reading() as snapshot:
        image_id = resolve(snapshot, image)
        after = None
        found = []
        while page := snapshot.lineage.derived(image_id, after, _PAGE):
            after = page[-1]
            names = _names(snapshot, [each.image_id for each in page])
            found += [(each.image_id, names[each.image_id], each.last_used) for each in page]
    if style.quiet:
        write_lines(style.id(each) for each, _, _ in found)
    elif style.format == "json":
        write_json_lines(
            {"ID": style.id(each), "LastUsed": None if used is None else str(used), "Names": names}
            for each, names, used in found
        )
    else:
        rows = (
            (style.id(each), "never" if used is None else ages.since(used) or "N/A", ", ".join(names))
            for each, names, used in found
        )
        write_table(["IMAGE ID", "LAST USED", "NAMES"], rows)


@click.command()
@click.argument("image", required=False, type=image_term)
@listing
@click.pass_obj
def layers(location: Location, image: str | None, style: Style) -> None:
    """List all layers, or those of IMAGE, the lowest first.

    SIZE is that of the files in a layer, CONTENT that of its tar; N/A where it is not known or not kept.

    \b
    Examples:
      imagestore layers
      imagestore layers app:1 --no-trunc
    """
    from imagestore.docker.rules import resolve

    with location.open() as store, store.reading() as snapshot:
        found = (
            list(snapshot.layers.map().values()) if image is None else snapshot.lineage.layers(resolve(snapshot, image))
        )
    if style.quiet:
        write_lines(style.id(layer.chain_id) for layer in found)
    elif style.format == "json":
        write_json_lines(_layer(layer, style) for layer in found)
    else:
        rows = (
            (style.id(layer.chain_id), style.id(layer.diff_id), size(layer.size), size(layer.content_size))
            for layer in found
        )
        write_table(["CHAIN ID", "DIFF ID", "SIZE", "CONTENT"], rows)


@click.command()
@listing
@click.pass_obj
def du(location: Location, style: Style) -> None:
    """Show what each image weighs, and what deleting it frees.

    SIZE is that of the files in its layers; of it, SHARED is in layers that another image has too. FREES is what would go from the disk if
    that image alone were deleted. The last line is all layers, each counted once, and all that is on the disk. A layer whose size is not
    known counts as nothing.

    \b
    Examples:
      imagestore du
      imagestore du --format json
    """
    with location.open() as store, store.reading() as snapshot:
        found = list(_weighed(snapshot))
        totals = snapshot.lineage.totals()
    found.sort(key=lambda row: row[2].total, reverse=True)
    if style.quiet:
        write_lines(style.id(image_id) for image_id, _, _ in found)
    elif style.format == "json":
        write_json_lines(
            {
                "Freed": sizes.freed,
                "ID": style.id(image_id),
                "Names": names,
                "Shared": sizes.shared,
                "Size": sizes.total,
            }
            for image_id, names, sizes in found
        )
        write_json_lines([{"Content": totals.content, "Images": len(found), "Size": totals.size}])
    else:
        rows = [
            (
                style.id(each),
                human_size(sizes.total),
                human_size(sizes.shared),
                human_size(sizes.freed),
                ", ".join(names),
            )
            for each, names, sizes in found
        ]
        rows.append(("TOTAL", human_size(totals.size), "", human_size(totals.content), ""))
        write_table(["IMAGE ID", "SIZE", "SHARED", "FREES", "NAMES"], rows)


def _weighed(store: Store) -> Iterator[tuple[ImageID, list[str], Sizes]]:
    after = None
    while page := store.lineage.sizes_page(after, _PAGE):
        names = _names(store, [*page])
        for after, sizes in page.items():
            yield after, names[after], sizes


def _names(store: Store, image_ids: Sequence[ImageID]) -> dict[ImageID, list[str]]:
    found = store.references.of_images(image_ids)
    return {image_id: [name.familiar for name in found.get(image_id, [])] for image_id in image_ids}


def _layer(layer: StoredLayer, style: Style) -> dict[str, object]:
    return {
        "ChainID": style.id(layer.chain_id),
        "Content": layer.content_size,
        "DiffID": style.id(layer.diff_id),
        "Parent": layer.parent and style.id(layer.parent),
        "Size": layer.size,
    }
