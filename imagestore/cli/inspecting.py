"""One image in full: ``inspect`` and ``history``, as docker has them."""

from __future__ import annotations

import json
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

import click

from imagestore.cli import ages
from imagestore.cli.errors import ERROR, failure, tell
from imagestore.cli.location import Location
from imagestore.cli.output import format_option, write_json, write_json_lines, write_lines, write_table
from imagestore.cli.program import image_term
from imagestore.cli.sizes import size

if TYPE_CHECKING:
    from imagestore.container import Config
    from imagestore.docker.summaries import ImageSummary
    from imagestore.image import History
    from imagestore.store import Store

_CREATED_BY: Final = 45  # characters that docker shows of a command
_MILLENNIUM: Final = 946_684_800  # 2000-01-01: docker shows no earlier time in a history
_MISSING: Final = "<missing>"
_NOT_SET: Final = -1  # what docker shows in place of a number that nobody has counted


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=image_term)
@click.pass_obj
def inspect(location: Location, images: tuple[str, ...]) -> int | None:
    """Show images in full, as docker's JSON.

    The keys are docker's, as far as they are known here; LastTagTime is when the image was last updated, Size is -1 while it is not known.
    What is found is shown; if an image is not, the exit code is 1.

    \b
    Examples:
      imagestore inspect app:1
      imagestore inspect $(imagestore heads -q)
    """
    from imagestore.docker.rules import resolve
    from imagestore.docker.summaries import summaries_of
    from imagestore.errors import ImageNotFoundError, ImageStoreError

    found, failures = [], []
    with location.open() as store, store.reading() as snapshot:
        for term in images:
            try:
                image = snapshot.get(resolve(snapshot, term))
                found += [_fields(snapshot, each) for each in summaries_of(snapshot, [image])]
            except ImageNotFoundError:
                failures.append(failure(ImageNotFoundError(term)))
            except ImageStoreError as error:
                failures.append(failure(error))
    write_json(found)
    for each in failures:
        tell(each)
    return ERROR if failures else None


@click.command()
@click.argument("image", type=image_term)
@format_option
@click.option("-q", "--quiet", is_flag=True, help="Only IDs.")
@click.option("--no-trunc", is_flag=True, help="Whole IDs and commands.")
@click.pass_obj
def history(location: Location, image: str, format_: str, quiet: bool, no_trunc: bool) -> None:
    """Show the steps that made IMAGE, the last first.

    A step has the ID of the image that it made, as far as parents are known. SIZE is that of the files in its layer.

    \b
    Examples:
      imagestore history app:1
      imagestore history --no-trunc --format json 22fe1f881d17
    """
    from imagestore.docker.rules import resolve
    from imagestore.docker.summaries import layer_sizes

    with location.open() as store, store.reading() as snapshot:
        found = snapshot.get(resolve(snapshot, image))
        made = [found.image_id, *snapshot.lineage.ancestors(found.image_id)]
        tags = {str(of): [name.familiar for name in names] for of, names in snapshot.references.of_images(made).items()}
        of_layers = iter(layer_sizes(snapshot, found))
    sizes = [0 if step.empty_layer else next(of_layers, None) for step in found.history]
    ids = chain(made, repeat(_MISSING))
    steps = [
        _step(image_id, step, size_, tags.get(image_id, []), no_trunc)
        for step, size_, image_id in zip(reversed(found.history), reversed(sizes), ids, strict=False)
    ]
    if quiet:
        write_lines(step["ID"] for step in steps)
    elif format_ == "json":
        write_json_lines(steps)
    else:
        shown = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
        write_table(
            ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], [[step[key] for key in shown] for step in steps]
        )


def _fields(store: Store, of: ImageSummary) -> dict[str, Any]:
    """What docker's inspect shows, in its order, as far as it is known here.

    Source: moby's ``ImageService.LookupImage``.
    """
    image = of.image
    rootfs = image.rootfs
    size_ = _NOT_SET if of.size is None else of.size
    updated = store.get_last_updated(image.image_id)
    return {
        "Id": image.image_id,
        "RepoTags": [name.familiar for name in of.tags],
        "RepoDigests": [name.familiar for name in of.digests],
        "Parent": image.parent or "",
        "Comment": image.comment or (image.history[-1].comment if image.history else ""),
        "Created": str(image.created),
        "Container": image.container,
        "ContainerConfig": _config(image.container_config),
        "DockerVersion": image.docker_version,
        "Author": image.author,
        "Config": _config(image.config),
        "Architecture": image.architecture,
        **({"Variant": image.variant} if image.variant else {}),
        "Os": image.operating_system,
        **({"OsVersion": image.os_version} if image.os_version else {}),
        "Size": size_,
        "VirtualSize": size_,
        "RootFS": {
            "Type": rootfs.type if rootfs else "",
            **({"Layers": list(rootfs.diff_ids)} if rootfs and rootfs.diff_ids else {}),
        },
        "Metadata": {"LastTagTime": str(updated or "0001-01-01T00:00:00Z")},
    }


def _config(config: Config | None) -> Any:
    from imagestore.container import CONFIG
    from imagestore.gojson import encode

    return None if config is None else json.loads(encode(CONFIG, config))


def _step(image_id: str, step: History, size_: int | None, tags: list[str], no_trunc: bool) -> dict[str, Any]:
    """What docker shows of a step, and of its Engine API the tags.

    Source: docker's ``HistoryWrite``.
    """
    created_by = step.created_by.replace("\t", " ")
    if not no_trunc and len(created_by) > _CREATED_BY:
        created_by = created_by[: _CREATED_BY - 1] + "…"
    return {
        "Comment": step.comment,
        "CreatedAt": ages.at(step.created),
        "CreatedBy": created_by,
        "CreatedSince": ages.since(step.created) if step.created.seconds > _MILLENNIUM else "",
        "ID": image_id if no_trunc or image_id == _MISSING else image_id[7:19],
        "Size": size(size_),
        "Tags": tags,
    }
