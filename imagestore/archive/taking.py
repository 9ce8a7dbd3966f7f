"""What the readers of each format hand the images of an archive to: a load, or who only looks; and a layer's bytes, verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import BinaryIO, Final, NamedTuple, Protocol

from imagestore.archive.bodies import Kept, pass_on
from imagestore.archive.limits import Limits
from imagestore.archive.tree import Body
from imagestore.content.reading import Registered, compression, read_up_to
from imagestore.digest import ChainID, ImageID
from imagestore.errors import ArchiveLimitError, InvalidArchiveError, InvalidLayerError, LayerTooLargeError
from imagestore.gojson import quoted, shortened
from imagestore.image import Image
from imagestore.layers import WrittenLayer
from imagestore.reference import Reference

_BEGINNING: Final = 512  # bytes that say with what a layer is compressed


class LayerFile(NamedTuple):
    """Where an archive has a layer.

    Attributes:
        body: its bytes, plain or compressed.
        name: what the archive calls it.
        digest: of these bytes, where the archive says it and it is to be compared; empty elsewhere.
    """

    body: Body
    name: str
    digest: str = ""


class Taker(Protocol):
    """What takes the images of an archive. The readers call it in the order in which docker does things."""

    def attempt(self) -> AbstractContextManager[None]:
        """Around all that is done for one image; who only looks goes on behind one that is refused."""
        ...

    def tell(self, text: str) -> None:
        """Report a line, given with its end."""
        ...

    def add_layers(self, image: Image, files: Iterable[LayerFile]) -> None:
        """Let all layers of an image be there; each is read where it is not.

        Args:
            image: has a root filesystem.
            files: as many as it has layers; each is asked for when those before it are there.

        Raises:
            InvalidArchiveError: one has another diff ID than the configuration says, or the file another digest.
        """
        ...

    def layer(self, file: LayerFile, shown: str) -> WrittenLayer:
        """Take a layer of which nothing is known; ``shown`` is its ID in the messages of progress."""
        ...

    def link(self, written: WrittenLayer, parent: ChainID | None) -> ChainID:
        """Give a layer its place, and tell it."""
        ...

    def add_image(self, image: Image, tags: Iterable[Reference] = ()) -> None:
        """Create an image and give it tags, in one transaction. The layers are there.

        Args:
            image: is such that `Store.create` accepts it.
            tags: which are taken one by one; where taking one raises, the image is stored with those before it.
        """
        ...

    def add_again(self, image_id: ImageID, tags: Iterable[Reference]) -> None:
        """Give an image that was added before more tags, as if it were added again."""
        ...

    def add_tags(self, tags: Iterable[tuple[Reference, ImageID]]) -> None:
        """Give images that were added tags, in one transaction, and tell no more than which have moved.

        Args:
            tags: which are taken one by one; where taking one raises, those before it are set.
        """
        ...

    def get(self, image_id: ImageID) -> Image:
        """An image that was added."""
        ...

    def set_parent(self, image_id: ImageID, parent: ImageID) -> None:
        """Note that an image was made from another one that was added."""
        ...


def read_layer(file: LayerFile, write: Callable[[BinaryIO], WrittenLayer]) -> WrittenLayer:
    """Let a layer's bytes be written, or measured, and compare their digest.

    Args:
        file: where they are; of a pipe they have been written when they passed.
        write: reads the stream to its end.

    Raises:
        InvalidArchiveError: they are not there, or have another digest.
        ArchiveLimitError: they are more than a limit allows.
        InvalidLayerError: they are no layer.
    """
    body, wanted = file.body, file.digest
    algorithm = wanted.partition(":")[0]
    if isinstance(body, Kept):
        outcome, digests = body.passed
    else:
        is_plain = compression_of(body) is None
        with body.open() as stream:
            outcome, digests = pass_on(stream, write, [algorithm] if wanted else [], is_plain=is_plain)
    if algorithm in digests:  # first, as another digest says more than damage
        _check_digest(wanted, f"{algorithm}:{digests[algorithm]}")
    if isinstance(outcome, LayerTooLargeError):
        raise ArchiveLimitError.of(outcome, shortened(file.name)) from outcome
    if isinstance(outcome, InvalidLayerError):
        raise outcome
    if wanted and algorithm not in digests:
        raise InvalidArchiveError(
            "unsupported-digest", f"{wanted} cannot be verified in a pipe: load the archive from a file"
        )
    return outcome


def measure(stream: BinaryIO, limits: Limits) -> WrittenLayer:
    """Read a layer to its end, and write it nowhere.

    Raises:
        InvalidLayerError: it is none.
        LayerTooLargeError: it asks for more than a limit allows.
    """
    registered = Registered(stream, limits.layer, limits.window)
    for _ in registered:
        pass
    return WrittenLayer("", registered.diff_id, registered.files_size, registered.size)


def check_diff_id(place: int, diff_id: str, written: WrittenLayer) -> None:
    """Refuse a layer that has another diff ID than the configuration of its image says.

    Raises:
        InvalidArchiveError: always then.
    """
    if written.diff_id != diff_id:
        raise InvalidArchiveError(
            "diff-id-mismatch",
            f"invalid diffID for layer {place}: expected {quoted(diff_id)}, got {quoted(written.diff_id)}",
        )


def check_os(os: str, where: str = "") -> None:
    """Refuse what no host with Linux runs (moby's ``checkCompatibleOS``, and what becomes of what passes it).

    Args:
        os: of the configuration.
        where: is added to the message.

    Raises:
        InvalidArchiveError: always then.
    """
    if os == "windows":
        raise InvalidArchiveError("platform", f"cannot load windows image on linux{where}")
    if os not in ("", "linux"):
        raise InvalidArchiveError(
            "platform", f"cannot load an image for the operating system {quoted(os)}: only linux is known{where}"
        )


def compression_of(body: Body) -> str | None:
    """With what a layer is compressed; None: it is plain.

    Raises:
        InvalidArchiveError: there is none.
    """
    if isinstance(body, Kept):
        return body.compression
    with body.open() as stream:
        return compression(read_up_to(stream, _BEGINNING))


def _check_digest(wanted: str, found: str) -> None:
    if found != wanted:
        raise InvalidArchiveError("digest-mismatch", f"the bytes of {wanted} have the digest {found}")
