"""The database itself: ``verify``, and ``db`` for its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imagestore.cli.errors import FOUND, tell
from imagestore.cli.location import Location
from imagestore.cli.output import format_option, write_json_lines, write_lines

if TYPE_CHECKING:
    from imagestore.verify import Finding


@click.command()
@click.option("--repair", is_flag=True, help="Make damaged indexes anew. Images and their metadata are never changed.")
@click.option("--bytes", "whole", is_flag=True, help="Read all bytes of layers, too, and compare their digests.")
@format_option
@click.pass_obj
def verify(location: Location, repair: bool, whole: bool, format_: str) -> int | None:
    """Check all that is stored, and repair indexes.

    Bytes are compared with their digests, indexes with the facts. Prints what is wrong, and nothing of a sound store. The exit code is 3
    if something is wrong and was not repaired. The store may be in use meanwhile. Where a folder keeps the bytes of layers (--content),
    each file is looked for; all that is in them is read with --bytes alone.

    \b
    What is found:
      corrupt-blob     bytes changed: restore them from a backup
      stray-metadata   metadata of an image that is gone
      missing-row      an image that the index does not have       --repair
      extra-row        an entry of the index without an image      --repair, if it has no name
      wrong-time       a time that is not that of the metadata     --repair
      wrong-parent     a parent that is not that of the metadata   --repair
      parent-cycle     metadata makes an image its own ancestor: nothing is damaged, but one of the parents is wrong
      wrong-top        layers that are not those of the image      --repair
      wrong-layer      a layer that does not fit its chain ID      --repair, if an image has it
      wrong-reference  a repository that is not that of the name   --repair; or a name that is none
      wrong-lease      layers held by a lease that is gone         --repair; or a lease that cannot be read
      content-lost     the file of a layer is gone: restore it from a backup
      corrupt-content  the file of a layer has changed: likewise

    \b
    Examples:
      imagestore verify
      imagestore verify --repair --format json
      imagestore verify --bytes
    """
    from imagestore.verify import lacks_content
    from imagestore.verify import verify as find

    left = repaired = 0
    with location.open(with_content=True) as store:
        for finding in find(store, repair=repair, content=whole):
            left += not finding.repaired
            repaired += finding.repaired
            _write(finding, format_)
        unread = lacks_content(store)
    if unread:
        tell("the files of layers were not looked for: name the folder that has them with --content")
    if left or repaired:
        tell(f"findings: {left + repaired}, repaired: {repaired}")
    return FOUND if left else None


@click.group()
def db() -> None:
    """Look after the tables in the database.

    \b
    Examples:
      imagestore db current
      imagestore db upgrade
    """


@db.command()
@click.pass_obj
def upgrade(location: Location) -> None:
    """Make the tables, or bring them up to this release.

    Prints their revision. Safe to call from many hosts at once, and again if it was interrupted. If a process of an older release is
    still running at the end, run 'imagestore verify --repair' once the last of them has stopped.

    \b
    Examples:
      imagestore db upgrade
      imagestore --schema images db upgrade
    """
    from imagestore import migrate

    with location.connect() as connection:
        migrate.upgrade(connection, schema=location.schema)
        write_lines([migrate.current(connection, schema=location.schema) or "base"])


@db.command()
@click.pass_obj
def current(location: Location) -> None:
    """Print the revision of the tables; "base" if there are none.

    \b
    Examples:
      imagestore db current
    """
    from imagestore.sql.revision import find_revision

    if location.is_missing():
        write_lines(["base"])
        return
    with location.connect() as connection:
        write_lines([find_revision(connection, schema=location.schema) or "base"])


@db.command()
@click.pass_obj
def check(location: Location) -> int | None:
    """Compare the tables with those of this release.

    Prints the differences; the exit code is 3 if there are any.

    \b
    Examples:
      imagestore db check
    """
    from imagestore import migrate
    from imagestore.errors import SchemaMissingError

    if location.is_missing():
        with location.naming():
            raise SchemaMissingError("there is no such database: run 'imagestore db upgrade' to create it")
    with location.connect() as connection:
        differences = migrate.check(connection, schema=location.schema)
    write_lines(differences)
    return FOUND if differences else None


def _write(finding: Finding, format_: str) -> None:
    if format_ == "json":
        names = {"kind": finding.kind, "subject": finding.subject, "cause": finding.cause, "remedy": finding.remedy}
        write_json_lines([{**names, "repaired": finding.repaired}])
    else:
        remedy = "repaired" if finding.repaired else finding.remedy
        write_lines([f"{finding.kind} {finding.subject}: {finding.cause}", f"    {remedy}"])
