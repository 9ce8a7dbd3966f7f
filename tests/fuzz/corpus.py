"""What the fuzz tests begin with: every recorded archive, the configurations in them and in the vectors of Go, and names."""

from __future__ import annotations

import io
import json
import tarfile
from functools import cache

from imagestore.content.reading import plain
from imagestore.errors import ImageStoreError
from tests.archives.recorded import HERE as ARCHIVES
from tests.golden.vectors import as_bytes, cases

_LARGEST = 64 << 10  # bytes: larger ones are no better, and slower
_NAMES = (
    "app",
    "app:1.2",
    "team/app:latest",
    "docker.io/library/app",
    "index.docker.io/app",
    "localhost/app",
    "localhost:5000/a/b__c/d-e.f:V_1.0-x",
    "registry.test:5000/team/app:1@sha256:" + "0f" * 32,
    "app@sha256:" + "a" * 64,
    "app@sha512:" + "b" * 128,
    "0123456789abcdef" * 4,
    "a_b.test/app",
    "xn--n3h.test/app",
)


@cache
def archives():
    """Archives that docker, skopeo, umoci and others have made, plain."""
    paths = sorted((ARCHIVES / "data").glob("**/*.tar"))
    return [data for path in paths if len(data := _plain(path.read_bytes())) <= _LARGEST]


@cache
def configurations():
    """Configurations of images, among them such as Go refuses."""
    found = [as_bytes(case["input"]) for case in cases("from_json.json")]
    for archive in archives():
        try:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                files = [tar.extractfile(member).read() for member in tar if member.isfile()]
        except tarfile.TarError:
            continue
        found += [data for data in files if data[:1] == b"{" and b"rootfs" in data]
    return sorted({data for data in found if len(data) <= _LARGEST})


@cache
def names():
    """Names of images, as users write them and as the recorded archives have them."""
    recorded = json.loads((ARCHIVES / "data" / "cases.json").read_text())
    tags = {
        tag
        for case in recorded
        for image in case.get("state", {}).get("images", ())
        for tag in image.get("RepoTags") or ()
    }
    return [*_NAMES, *sorted(tags)]


def _plain(data):
    try:
        return b"".join(plain(io.BytesIO(data)))
    except ImageStoreError:
        return data
