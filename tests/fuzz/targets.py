"""What is fuzzed, and what may come of it: an answer, or an error of ours; nothing half, and nothing without bounds."""

from __future__ import annotations

import io
from contextlib import suppress

from imagestore.archive.inspecting import inspect
from imagestore.archive.limits import Limits
from imagestore.archive.loading import load
from imagestore.errors import ImageStoreError, InvalidImageError, InvalidReferenceError, InvalidTimeError
from imagestore.image import Image
from imagestore.reference import Reference
from imagestore.store import Store
from imagestore.verify import verify
from tests.archives.conftest import Pipe

LIMITS = Limits(
    entries=2000,
    document=1 << 20,
    layer=1 << 20,
    archive=1 << 24,
    documents=1 << 22,
    images=50,
    layers=50,
    window=1 << 23,
)
LONGEST_MESSAGE = 4000


def load_archive(store, data):
    """Load an archive from a file and from a pipe, and look into it: the same comes of all."""
    is_refused, images = _loaded(store, io.BytesIO(data))
    assert _loaded(store, Pipe(data, 1000)) == (is_refused, images)
    found = inspect(io.BytesIO(data), limits=LIMITS, verify=True)
    assert bool(found.problems) == is_refused
    assert all(len(problem.text) < LONGEST_MESSAGE for problem in found.problems)
    assert images.keys() <= {each.image.image_id for each in found.images}


def read_image(store, data):
    """Read a configuration; what is one is written so that it is read again, and can be stored."""
    images = Store(store.engine)  # whose layers are facts
    try:
        image = Image.from_json(data)
    except InvalidImageError as error:
        refusal = str(error)
        assert _created(images, data) is None
        assert len(refusal) < LONGEST_MESSAGE
        return
    with suppress(InvalidTimeError):  # Go reads offsets that it does not write so that it reads them again
        written = image.to_json()
        assert _read_again(written) == written
    image_id = _created(images, data)
    if image_id is not None:
        assert images.get(image_id).raw_json == data
        images.delete(image_id)
    assert len(images) == 0


def parse_reference(store, text):
    """Parse a name; what is one is the same in its full form."""
    with suppress(InvalidReferenceError):
        reference = Reference.parse(text)
        assert Reference.parse(str(reference)) == reference
        assert reference.familiar_match(reference.familiar)
    with suppress(InvalidReferenceError):
        Reference.parse("app:1").familiar_match(text)


def _read_again(written):
    try:
        return Image.from_json(written).to_json()
    except InvalidImageError as error:
        if "as a time" in str(error):
            raise InvalidTimeError(str(error)) from error
        raise


def _created(store, data):
    with suppress(InvalidImageError):
        return store.create(data)


def _loaded(store, archive):
    """The images that are there after a load, with their tags; then none are."""
    found, refusal = None, ""
    try:
        found = load(store, archive, limits=LIMITS)
    except ImageStoreError as error:
        refusal = str(error)
    assert len(refusal) < LONGEST_MESSAGE
    assert list(verify(store, content=True)) == []
    images = {image_id: sorted(map(str, store.references.references(image_id))) for image_id in store.map()}
    if found is not None:
        assert {each.id for each in found} == set(images)
    for image_id in sorted(images):
        store.delete(image_id)
    store.collect()
    assert list(store.content.names()) == []
    assert store.layers.map() == {}
    assert store.leases.page() == []
    return found is None, images


TARGETS = {"load_archive": load_archive, "read_image": read_image, "parse_reference": parse_reference}
