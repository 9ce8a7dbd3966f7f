"""Every Python name in the table of docs/from-go.md is there, and takes the arguments that it shows."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import imagestore
import imagestore.archive
import imagestore.docker.repositories
import imagestore.docker.rules
import imagestore.docker.summaries
import imagestore.layers
import imagestore.reference
import imagestore.references
import imagestore.v1
from imagestore import FSBackend, History, Image, ImageID, LayerGetReleaser, RootFS, Store, StoreBackend

PAGE = (Path(__file__).parents[2] / "docs" / "from-go.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.split("## JSON")[0].splitlines()
    if line.startswith("| `")
]
OWNERS = {
    "ID": ImageID,
    "Image": imagestore,
    "container.Config": imagestore,
    "NewFromJSON(src)": Image,
    ".RawJSON()": Image,
    ".RunConfig()": Image,
    ".MarshalJSON()": Image,
    "NewChildImage(img, child, os)": Image,
    "NewHistory(author, comment, createdBy, isEmptyLayer)": History,
    "NewRootFS()": RootFS,
    "time.Time": imagestore.GoTime,
    "v1.CreateID": imagestore.v1,
    "StoreBackend": StoreBackend,
    "NewFSStoreBackend(root)": FSBackend,
    "NewImageStore(fs, lss)": Store,
    "LayerGetReleaser": LayerGetReleaser,
    "Store.Create": Store,
    "SetParent": Store,
    "SetLastUpdated": Store,
    "Map": Store,
    "SetBuiltLocally": Store,
    "layer.Store": imagestore.layers.Layers,
    "reference.ParseNormalizedNamed(s)": imagestore.reference,
    "reference.Store": imagestore.references.References,
    "reference.NewReferenceStore(jsonPath)": imagestore.docker.repositories,
    "Exporter.Load": imagestore.archive.TarExporter,
    "ImageService.GetImage": imagestore.docker.rules,
    "ImageService.Images": imagestore.docker.summaries,
}
"""Whose the names of a row are, by the first Go name in it."""


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


def find(name, owner):
    """What a name of the table stands for: of the package, or of what the row is about."""
    path = name.removeprefix("imagestore.").removeprefix("img").removeprefix(".").split(".")
    found = imagestore if not name.startswith(".") and hasattr(imagestore, path[0]) else owner
    for part in path:
        found = getattr(found, part) if hasattr(found, part) else inspect.get_annotations(found)[part]
    return found


def shown(arguments):
    """The arguments in a call as it is written: those by position, and those by name."""
    each = [argument.strip() for argument in arguments.split(",") if argument.strip()]
    return [name for name in each if "=" not in name], {name.partition("=")[0] for name in each if "=" in name}


def test_every_row_is_about_something():
    assert [names(row[0])[0] for row in ROWS] == list(OWNERS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: names(row[0])[0])
def test_a_row(row):
    owner = OWNERS[names(row[0])[0]]
    assert names(row[1])
    for written in names(row[1]):
        name, _, arguments = written.removesuffix(")").partition("(")
        if name in {"str", "len"}:
            assert f"__{name}__" in dir(owner)
            continue
        found = find(name, owner)
        if not written.endswith(")"):
            continue
        by_position, by_name = shown(arguments)
        if next(iter(inspect.signature(found).parameters)) == "self":
            by_position.insert(0, "self")
        parameters = inspect.signature(found).bind(*by_position, **dict.fromkeys(by_name)).arguments
        assert by_name <= set(parameters)
        # An engine is what a bind may be; all else has the parameter's own name.
        assert [value for name, value in parameters.items() if name not in {value, *by_name, "bind"}] == []


def test_a_name_that_is_not_there_would_be_found():
    with pytest.raises(KeyError):
        find(".run_configuration", Image)
