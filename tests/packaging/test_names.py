"""The names of the package: one list for readers, one for tools, one for the loader."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import imagestore

SOURCE = ast.parse((Path(__file__).parents[2] / "imagestore/__init__.py").read_text())


def for_tools():
    """The imports that type checkers and editors see."""
    (block,) = [node for node in SOURCE.body if isinstance(node, ast.If)]
    return {
        (name.name, f"{node.module}") for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names
    }


def test_the_lists_agree():
    loaded = {(name, f"imagestore.{module}") for name, module in imagestore._HOMES.items()}
    assert loaded == for_tools()
    assert imagestore.__all__ == sorted(
        imagestore.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert set(imagestore.__all__) == {name for name, _ in loaded}


@pytest.mark.parametrize("name", imagestore.__all__)
def test_every_name_is_there(name):
    assert getattr(imagestore, name) is not None
    assert name in dir(imagestore)


def test_another_name_is_not():
    with pytest.raises(AttributeError, match="no attribute 'Stores'"):
        imagestore.Stores  # noqa: B018


def test_all_names_at_once():
    names = subprocess.run(
        [sys.executable, "-c", "from imagestore import *; print(*dir())"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()
    assert set(imagestore.__all__) <= set(names)
