"""The images that are measured: configurations of some 4 KB, the parents of a host that builds some and pulls others, and their layers.

Everything follows from the number of an image, so that every engine, and every run, has the same images.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from imagestore.digest import DiffID, ImageID
from imagestore.testing.makers import make_config, make_diff_id

DEEPEST: Final = 60
_SAMPLE: Final = 1000
_BASES: Final = 40
_FRAMEWORKS: Final = 30  # on each of them
_OWN: Final = 33  # layers, at most
_BASE: Final = 7  # of 50 images
_FRAMEWORK: Final = 17
_UNUSED: Final = {
    "Hostname": "",
    "Domainname": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Image": "",
    "Volumes": None,
    "Entrypoint": None,
    "OnBuild": None,
}
_TIME: Final = "2024-03-01T09:30:{:02}.{:09}Z"


@dataclass(frozen=True)
class Population:
    """The images of a store, and those of them that the operations are given.

    Args:
        ids: every image's ID, by its number.
        parents: the number of each image's parent, which is lower than its own, or None.
    """

    ids: Sequence[ImageID]
    parents: Sequence[int | None]

    @classmethod
    def of(cls, count: int) -> Population:
        """The first ``count`` images."""
        return cls([ImageID.from_bytes(config(number)) for number in range(count)], graph(count))

    def any(self) -> list[ImageID]:
        """Some images, drawn by chance."""
        return self._drawn(list(range(len(self.ids))))

    def deepest(self) -> list[ImageID]:
        """Some of the images with the most ancestors."""
        depths = self._depths()
        most = max(depths)
        return self._drawn([number for number, depth in enumerate(depths) if depth == most])

    def parents_of_some(self) -> list[ImageID]:
        """Some images that have children."""
        return self._drawn(sorted({parent for parent in self.parents if parent is not None}))

    def children_of_some(self) -> list[ImageID]:
        """Some images that have a parent and no children."""
        inner = set(self.parents)
        return self._drawn([n for n, parent in enumerate(self.parents) if parent is not None and n not in inner])

    def bases(self) -> list[ImageID]:
        """Some of the images that others are built on, by their layers."""
        return self._drawn([number for number in range(len(self.ids)) if is_base(number)])

    def relatives(self) -> list[tuple[ImageID, ImageID]]:
        """Some pairs of images that are on the same base."""
        number_of = {image_id: number for number, image_id in enumerate(self.ids)}
        lowest = {image_id: stack(number_of[image_id])[0] for image_id in self.any()}
        return [pair for pair in pairwise(sorted(lowest, key=lowest.__getitem__)) if lowest[pair[0]] == lowest[pair[1]]]

    def last_page(self) -> ImageID:
        """The ID after which about the last hundred heads come."""
        inner = set(self.parents)
        heads = sorted(image_id for number, image_id in enumerate(self.ids) if number not in inner)
        return heads[-min(len(heads), 101)]

    def _drawn(self, numbers: Sequence[int]) -> list[ImageID]:
        draw = random.Random(len(self.ids))
        return [self.ids[number] for number in draw.sample(numbers, min(_SAMPLE, len(numbers)))]

    def _depths(self) -> list[int]:
        depths: list[int] = []
        for parent in self.parents:
            depths.append(0 if parent is None else depths[parent] + 1)
        return depths


def graph(count: int) -> list[int | None]:
    """Each image's parent, or None for one that was pulled.

    The others are steps of builds, each the child of the step before. A build has up to 60 steps, and half of the builds start from
    another image of the store.
    """
    draw = random.Random(0)
    parents: list[int | None] = []
    depths: list[int] = []
    while len(parents) < count:
        steps = 1 if draw.random() < 0.9 else draw.randint(2, DEEPEST + 1)
        previous = draw.randrange(len(parents)) if steps > 1 and parents and draw.random() < 0.5 else None
        for _ in range(steps):
            if previous is not None and depths[previous] == DEEPEST:
                break
            parents.append(previous)
            depths.append(0 if previous is None else depths[previous] + 1)
            previous = len(parents) - 1
    return parents[:count]


def stack(number: int) -> list[DiffID]:
    """The layers of an image: a base, a framework on it, and its own.

    A few of the bases are those of most images. One image in 50 is a base alone, one has no more than a framework on it, and one in ten
    has the layers of the image before it.
    """
    if number % 10 == 9:
        number -= 1
    draw = random.Random(f"stack {number}")
    base, framework = int(_BASES * draw.random() ** 3), int(_FRAMEWORKS * draw.random() ** 2)
    own = 1 + int(_OWN * draw.random() ** 5)
    found = [make_diff_id(f"base {base} {layer}") for layer in range(5 + base % 9)]
    if not is_base(number):
        found += [make_diff_id(f"framework {base} {framework} {layer}") for layer in range(2 + framework % 13)]
        if number % 50 != _FRAMEWORK:
            found += [make_diff_id(f"{number} {layer}") for layer in range(own)]
    return found


def is_base(number: int) -> bool:
    """Whether an image is no more than a base."""
    return number % 50 == _BASE


def config(number: int) -> bytes:
    """The configuration of an image, as ``docker build`` writes one for a service in Python, with twelve steps of history."""
    draw = random.Random(number)
    run: dict[str, Any] = {
        **_UNUSED,
        "Cmd": ["gunicorn", "--bind", "0.0.0.0:8000", "--workers", "4", f"service_{number}.wsgi:application"],
        "Env": ["PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin", "LANG=C.UTF-8", "PYTHON_VERSION=3.11.7"],
        "ExposedPorts": {"8000/tcp": {}},
        "Labels": {
            "org.opencontainers.image.revision": f"{draw.getrandbits(160):040x}",
            "org.opencontainers.image.title": f"service-{number}",
        },
        "User": "app",
        "WorkingDir": "/srv/app",
    }
    container = f"{draw.getrandbits(256):064x}"
    return make_config(
        number,
        layers=stack(number),
        config=run,
        container_config={**run, "Hostname": container[:12], "Cmd": ["/bin/sh", "-c", "#(nop) ", 'CMD ["gunicorn"]']},
        container=container,
        docker_version="20.10.24",
        history=[_step(draw, step) for step in range(12)],
    )


def configs(count: int, first: int = 0) -> Iterator[bytes]:
    """The configurations of ``count`` images, from a number on."""
    return (config(number) for number in range(first, first + count))


def is_used(number: int) -> bool:
    """Whether somebody has noted a use of an image."""
    return number % 3 == 0


def time(number: int) -> str:
    """When an image was last tagged or used."""
    return _TIME.format(number % 60, number % 10**9)


def _step(draw: random.Random, step: int) -> dict[str, Any]:
    created = {"created": _TIME.format(draw.randrange(60), draw.randrange(10**9))}
    if step < 5:
        return {**created, "created_by": f"/bin/sh -c #(nop) COPY file:{draw.getrandbits(256):064x} in /srv/app "}
    return {**created, "created_by": f"/bin/sh -c #(nop)  ENV SETTING_{step}=value", "empty_layer": True}
