"""Many images, a line each: ``images``, ``heads``, ``children``, ``ancestors``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from imagestore.cli import ages
from imagestore.cli.location import Location
from imagestore.cli.output import format_option, write_json_lines, write_lines, write_table
from imagestore.cli.program import image_term

if TYPE_CHECKING:
    from imagestore.gojson import GoTime
    from imagestore.image import Image

_DIGITS: Final = slice(7, 19)  # of "sha256:..." that docker shows


@dataclass(frozen=True)
class _Style:
    format: str
    quiet: bool
    no_trunc: bool

    def id(self, image_id: str) -> str:
        return image_id if self.no_trunc else image_id[_DIGITS]


def _listing(command: Any) -> Any:
    """The options of a listing, handed to the command as one `_Style`."""

    @format_option
    @click.option("-q", "--quiet", is_flag=True, help="Only IDs.")
    @click.option("--no-trunc", is_flag=True, help='Whole IDs, with "sha256:".')
    @wraps(command)
    def with_style(*args: Any, format_: str, quiet: bool, no_trunc: bool, **kwargs: Any) -> Any:
        return command(*args, style=_Style(format_, quiet, no_trunc), **kwargs)

    return with_style


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that others are built on.")
@_listing
@click.pass_obj
def images(location: Location, everything: bool, style: _Style) -> None:
    """List images, the newest first.

    Without -a those that have children are left out, as docker does it. Repositories, tags and sizes are not known yet.

    \b
    Examples:
      imagestore images
      imagestore images -a --format json
      imagestore images -q --no-trunc | wc -l
    """
    with location.open() as store:
        _write(_newest_first(store.stream(heads=not everything)), style)


@click.command()
@_listing
@click.pass_obj
def heads(location: Location, style: _Style) -> None:
    """List images without children, the newest first.

    \b
    Examples:
      imagestore heads
      imagestore heads -q --no-trunc
    """
    with location.open() as store:
        _write(_newest_first(store.stream(heads=True)), style)


@click.command()
@click.argument("image", type=image_term)
@_listing
@click.pass_obj
def children(location: Location, image: str, style: _Style) -> None:
    """List the children of IMAGE, the newest first.

    \b
    Examples:
      imagestore children 22fe1f881d17
      imagestore rmi $(imagestore children -q 22fe1f881d17)
    """
    with location.open() as store, store.reading() as snapshot:
        found = snapshot.get_many(snapshot.children(snapshot.search(image)))
        _write(_newest_first(found.values()), style)


@click.command()
@click.argument("image", type=image_term)
@_listing
@click.pass_obj
def ancestors(location: Location, image: str, style: _Style) -> None:
    """List the ancestors of IMAGE, the nearest first.

    \b
    Examples:
      imagestore ancestors 22fe1f881d17
      imagestore ancestors -q 22fe1f881d17 | tail -n 1     # the base
    """
    with location.open() as store, store.reading() as snapshot:
        found = snapshot.get_many(snapshot.lineage.ancestors(snapshot.search(image)))
        _write([(each.image_id, each.created) for each in found.values()], style)


def _newest_first(images: Iterable[Image]) -> list[tuple[str, GoTime]]:
    """The ID and the time of each image: that is all that is kept of a large store. What has one time is in the order of IDs."""
    found = sorted((str(image.image_id), image.created) for image in images)
    found.sort(key=lambda each: each[1], reverse=True)
    return found


def _write(images: list[tuple[str, GoTime]], style: _Style) -> None:
    if style.quiet:
        write_lines(style.id(image_id) for image_id, _ in images)
    elif style.format == "json":
        write_json_lines(
            {"CreatedAt": ages.at(created), "CreatedSince": ages.since(created) or "N/A", "ID": style.id(image_id)}
            for image_id, created in images
        )
    else:
        rows = ((style.id(image_id), ages.since(created) or "N/A") for image_id, created in images)
        write_table(["IMAGE ID", "CREATED"], rows)
