"""All that may come into the stores of these tests."""

from __future__ import annotations

from imagestore.digest import DiffID, ImageID
from imagestore.layer import links
from imagestore.testing.makers import make_config, make_digest, make_layer

TARS = {name: make_layer(name, size=1000 * number) for number, name in enumerate("abc", 1)}
SIZES = {name: 1000 * number for number, name in enumerate("abc", 1)}
DIFF_IDS = {name: DiffID(ImageID.from_bytes(make_layer(name, size=SIZES.get(name, 0)))) for name in "abcx"}
"""Of the layers; what is in the last one, nobody has."""


def stack_of(names):
    return links([DIFF_IDS[name] for name in names])


def _make_configs():
    """Eight images on a few stacks of layers; three have IDs that begin with the same two digits, one has a layer that is in no trie."""
    by_beginning: dict[str, list[bytes]] = {}
    for number in range(10_000):
        layers = [DIFF_IDS[name] for name in ("ab", "abc", "b")[number % 3]]
        config = make_config(number, layers=layers)
        alike = by_beginning.setdefault(ImageID.from_bytes(config).hex[:2], [])
        alike.append(config)
        if len(alike) == 3:
            others = ["a", "ab", "bax"]
            made = [make_config(f"on {names}", layers=[DIFF_IDS[name] for name in names]) for names in others]
            return [*alike, *made, make_config("no layers"), make_config("no digest", layers=["no digest"])]
    raise AssertionError("no two digits are alike")


CONFIGS = _make_configs()
NO_IMAGES = [b"no image", b"{}"]
IMAGE_IDS = [ImageID.from_bytes(config) for config in CONFIGS]
DIGESTS = [*IMAGE_IDS, *map(ImageID.from_bytes, NO_IMAGES), make_digest()]

LINKS = sorted({link for names in ("abcx", "bax", "ca") for link in stack_of(names)})
CHAINS = [link.chain_id for link in LINKS]
NAMES = {
    "app": "docker.io/library/app:latest",
    "app:latest": "docker.io/library/app:latest",
    "app:2": "docker.io/library/app:2",
    "host.test:5000/team/app:2": "host.test:5000/team/app:2",
    f"app:2@{make_digest()}": f"docker.io/library/app@{make_digest()}",
}
"""References, and the names under which they are stored."""
