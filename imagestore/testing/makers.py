"""Makers of image configurations: one that says only what a test needs, and valid random ones from a seed.

All are deterministic: the same arguments give the same bytes, and so the same ID, in every process and release of Python.
"""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from imagestore.digest import DiffID, ImageID
from imagestore.image import Image


def make_digest(name: str | int = "nothing") -> ImageID:
    """The digest of a name: an ID that is well-formed and that no image of these makers has."""
    return ImageID.from_bytes(f"imagestore {name}".encode())


def make_config(name: str | int = "image", *, layers: int | Sequence[str] = 0, **fields: Any) -> bytes:
    """The configuration bytes of a small valid image.

    Args:
        name: becomes the comment; another name gives another ID.
        layers: how many layers, or their diff IDs from the lowest to the topmost.
        fields: more of the configuration's top-level keys, as JSON values: ``os="windows"``, ``history=[...]``. One of these
            names replaces what this function would have written.
    """
    diff_ids = [make_diff_id(number) for number in range(layers)] if isinstance(layers, int) else list(layers)
    config: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "comment": str(name),
        "created": "2020-10-01T12:30:00.123456789Z",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return _encode({**config, **fields})


def make_image(name: str | int = "image", *, layers: int | Sequence[str] = 0, **fields: Any) -> Image:
    """The image of `make_config` with the same arguments."""
    return Image.from_json(make_config(name, layers=layers, **fields))


def make_random_config(seed: int) -> bytes:
    """The configuration bytes of a valid image with what real ones have: layers, history, environment, labels, ports, a health check.

    Args:
        seed: two seeds give two IDs.
    """
    draw = random.Random(seed)
    diff_ids = [make_diff_id(f"{seed} {number}") for number in range(draw.randint(0, 12))]
    config = {
        "architecture": draw.choice(["amd64", "arm64", "riscv64"]),
        "author": draw.choice(["", "Zoë <zoe@example.org>", "a & b"]),
        "comment": f"random {seed}",
        "config": _random_run_config(draw),
        "container_config": _random_run_config(draw),
        "created": _random_time(draw),
        "docker_version": "20.10.24",
        "history": _random_history(draw, len(diff_ids)),
        "os": draw.choice(["linux", "linux", "windows"]),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return _encode(config)


def make_diff_id(name: str | int) -> DiffID:
    """The diff ID of a layer of this name; the layer itself is nowhere."""
    return DiffID(ImageID.from_bytes(f"imagestore layer {name}".encode()))


def make_layer(name: str | int = "layer", *, size: int = 10) -> bytes:
    """The tar of a layer with one file of this name and size; another name or size gives another diff ID."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        member = tarfile.TarInfo(str(name))
        member.size = size
        tar.addfile(member, io.BytesIO(size * b"x"))
    return stream.getvalue()


def _random_run_config(draw: random.Random) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Cmd": draw.choice([None, ["/bin/sh", "-c", "echo <hello> && true"], ["server"]]),
        "Entrypoint": draw.choice([None, [], ["/entrypoint.sh"]]),
        "Env": [f"KEY_{number}={draw.randint(0, 10**9)}" for number in range(draw.randint(0, 8))],
        "Image": draw.choice(["", make_digest(draw.randint(0, 9))]),
        "Labels": draw.choice(
            [None, {f"org.example.label-{number}": "värde\u2028" for number in range(draw.randint(0, 6))}]
        ),
        "OnBuild": draw.choice([None, [], ["RUN make"]]),
        "User": draw.choice(["", "app", "1000:1000"]),
        "Volumes": draw.choice([None, {"/data": {}}]),
        "WorkingDir": draw.choice(["", "/srv"]),
    }
    if draw.random() < 0.3:
        config["ExposedPorts"] = {"80/tcp": {}, "443/tcp": {}}
    if draw.random() < 0.2:
        config["Healthcheck"] = {"Test": ["CMD-SHELL", "true"], "Interval": draw.randint(1, 60) * 10**9, "Retries": 3}
    return config


def _random_history(draw: random.Random, layers: int) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [
        {"created": _random_time(draw), "created_by": f"/bin/sh -c #(nop) ADD file:{draw.randint(0, 10**9):x} in / "}
        for _ in range(draw.randint(0, layers))
    ]
    empty = [
        {"created": _random_time(draw), "created_by": "ENV A=b", "empty_layer": True} for _ in range(draw.randint(0, 5))
    ]
    entries += empty
    draw.shuffle(entries)
    return entries


def _random_time(draw: random.Random) -> str:
    fraction = f".{draw.randint(1, 10**9 - 1):09}".rstrip("0") if draw.random() < 0.8 else ""
    zone = draw.choice(["Z", "Z", "+02:00", "-05:30"])
    clock = f"{draw.randint(0, 23):02}:{draw.randint(0, 59):02}:{draw.randint(0, 59):02}"
    return f"{draw.randint(2013, 2020)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}T{clock}{fraction}{zone}"


def _encode(config: Mapping[str, Any]) -> bytes:
    return json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()
