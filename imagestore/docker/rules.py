"""What the daemon allows: an image that others are built on is not removed."""

from __future__ import annotations

from sqlalchemy import Connection

from imagestore.digest import ImageID
from imagestore.errors import DependentChildrenError, ImageNotFoundError
from imagestore.sql import edges, images
from imagestore.store import Store


def remove_image(store: Store, image_id: str) -> None:
    """Remove an image that has no children. Commits. A few statements by key.

    Unlike docker's rmi it leaves the parents, and knows of no container.

    Raises:
        ImageNotFoundError: there is no such image.
        DependentChildrenError: it has children; the message names them.
        UnusableBindError: this is a restored store, or one with layer stores, which `Store.delete` alone can ask.

    Source: moby's ``ImageService.ImageDelete``, with ``PruneChildren`` off.
    """
    with store.begin() as joined:
        joined._bind.write(_remove_childless, ImageID(image_id))


def _remove_childless(connection: Connection, image_id: ImageID) -> None:
    if edges.hold(connection, image_id) is None:  # from here on nobody can become its child
        raise ImageNotFoundError(image_id)
    children = images.children(connection, image_id)
    if children:
        raise DependentChildrenError(image_id, children)
    images.delete(connection, image_id)
