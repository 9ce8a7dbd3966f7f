"""Many images, a line each: ``images``, ``heads``, ``children``, ``ancestors``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from imagestore.cli import ages
from imagestore.cli.location import Location
from imagestore.cli.output import write_json_lines, write_lines, write_table
from imagestore.cli.program import image_term
from imagestore.cli.sizes import size
from imagestore.cli.style import Style, listing

if TYPE_CHECKING:
    from imagestore.docker.summaries import ImageSummary
    from imagestore.gojson import GoTime
    from imagestore.image import Image

_NONE: Final = "<none>"


class _Row(NamedTuple):
    """A line of ``images``: what is kept of each image of a large store."""

    image_id: str
    created: GoTime
    size: int | None
    repository: str
    tag: str
    digest: str


@click.command()
@click.argument("pattern", metavar="[REFERENCE]", required=False)
@click.option("-a", "--all", "everything", is_flag=True, help="Also those without a name that others are built on.")
@click.option("--digests", is_flag=True, help="The digests of repositories too.")
@listing
@click.pass_obj
def images(location: Location, pattern: str | None, everything: bool, digests: bool, style: Style) -> None:
    """List images, the newest first.

    An image has a line for each of its tags. With REFERENCE, a name with or without a tag, only those of that name; in it, "*" and "?"
    stand for other characters, as in docker. SIZE is that of all files in its layers, and N/A while it is not known.

    \b
    Examples:
      imagestore images
      imagestore images app:1
      imagestore images 'team/*' --format json
      imagestore images -a -q --no-trunc | sort -u | wc -l
    """
    from imagestore.docker.summaries import summaries

    with location.open() as store, store.reading() as snapshot:
        rows = [row for each in summaries(snapshot, pattern, everything=everything) for row in _rows(each, digests)]
    rows.sort(key=lambda row: row.image_id)  # the lines of one image stay in the order of its names
    rows.sort(key=lambda row: row.created, reverse=True)
    if style.quiet:
        write_lines(style.id(row.image_id) for row in rows)
    elif style.format == "json":
        write_json_lines(_json(row, style) for row in rows)
    else:
        headings = ["REPOSITORY", "TAG", *(["DIGEST"] if digests else []), "IMAGE ID", "CREATED", "SIZE"]
        write_table(headings, (_cells(row, style, digests) for row in rows))


@click.command()
@listing
@click.pass_obj
def heads(location: Location, style: Style) -> None:
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
@listing
@click.pass_obj
def children(location: Location, image: str, style: Style) -> None:
    """List the children of IMAGE, the newest first.

    \b
    Examples:
      imagestore children 22fe1f881d17
      imagestore rmi $(imagestore children -q 22fe1f881d17)
    """
    from imagestore.docker.rules import resolve

    with location.open() as store, store.reading() as snapshot:
        found = snapshot.get_many(snapshot.children(resolve(snapshot, image)))
        _write(_newest_first(found.values()), style)


@click.command()
@click.argument("image", type=image_term)
@listing
@click.pass_obj
def ancestors(location: Location, image: str, style: Style) -> None:
    """List the ancestors of IMAGE, the nearest first.

    \b
    Examples:
      imagestore ancestors 22fe1f881d17
      imagestore ancestors -q 22fe1f881d17 | tail -n 1     # the base
    """
    from imagestore.docker.rules import resolve

    with location.open() as store, store.reading() as snapshot:
        found = snapshot.get_many(snapshot.lineage.ancestors(resolve(snapshot, image)))
        _write([(each.image_id, each.created) for each in found.values()], style)


def _rows(of: ImageSummary, digests: bool) -> Iterator[_Row]:
    """The lines of an image.

    Source: docker's ``imageFormatTaggedAndDigest``.
    """
    image_id, created = str(of.image.image_id), of.image.created
    tags: dict[str, list[str]] = {}
    for name in of.tags:
        tags.setdefault(name.familiar_name, []).append(name.tag or "")
    found: dict[str, list[str]] = {}
    for name in of.digests:
        found.setdefault(name.familiar_name, []).append(name.digest or "")
    if not of.names:
        yield _Row(image_id, created, of.size, _NONE, _NONE, _NONE)
    for repository in {**tags, **found}:
        shown = found.get(repository, [_NONE]) if digests else [_NONE]
        for tag in tags.get(repository, [_NONE]):
            for digest in shown:
                yield _Row(image_id, created, of.size, repository, tag, digest)


def _cells(row: _Row, style: Style, digests: bool) -> list[str]:
    created = ages.since(row.created) or "N/A"
    names = [row.repository, row.tag, *([row.digest] if digests else [])]
    return [*names, style.id(row.image_id), created, size(row.size)]


def _json(row: _Row, style: Style) -> dict[str, str]:
    return {
        "CreatedAt": ages.at(row.created),
        "CreatedSince": ages.since(row.created) or "N/A",
        "Digest": row.digest,
        "ID": style.id(row.image_id),
        "Repository": row.repository,
        "Size": size(row.size),
        "Tag": row.tag,
    }


def _newest_first(images: Iterable[Image]) -> list[tuple[str, GoTime]]:
    """The ID and the time of each image: that is all that is kept of a large store. What has one time is in the order of IDs."""
    found = sorted((str(image.image_id), image.created) for image in images)
    found.sort(key=lambda each: each[1], reverse=True)
    return found


def _write(images: list[tuple[str, GoTime]], style: Style) -> None:
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
