"""What holds what, as operations on dicts: images, leases and layers hold layers, and layers hold contents. A part of `Model`.

A layer goes when the last that holds it goes, if that is deleted or released; else it is garbage until it is collected.
"""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

from imagestore.collect import Collected
from imagestore.digest import chain_id
from imagestore.errors import InvalidError, LayerNotFoundError, LeaseExpiredError, UnusableContentError
from imagestore.layer import LayerMetadata, StoredLayer


class File(NamedTuple):
    """A file among the contents: under which lease it was written, and what is in it."""

    number: int
    lease: str
    diff_id: str
    size: int


class Holdings:
    """The trie of layers and who holds them.

    Attributes:
        trie: by chain ID, each layer's diff ID, parent and size.
        tops: the chain that each image has at its top.
        leases: by ID, the chains that each holds.
        expired: the leases that have.
        contents: by diff ID, the file that counts.
        files: all of them. No rollback brings one back or takes one away, so all copies share them.
        frees: whether a transaction may free layers, which in PostgreSQL's snapshots it may not.
        is_joined: whether all of it may be rolled back, so that no file goes.
    """

    def __init__(self, *, has_content):
        self.has_content = has_content
        self.trie: dict[str, tuple[str, str | None, int | None]] = {}
        self.tops: dict[str, str] = {}
        self.leases: dict[str, set[str]] = {}
        self.expired: set[str] = set()
        self.contents: dict[str, File] = {}
        self.files: set[File] = set()
        self.frees = True
        self.is_joined = False
        self._numbers = count()

    def copy(self):
        other = Holdings(has_content=self.has_content)
        other.trie, other.tops, other.contents = dict(self.trie), dict(self.tops), dict(self.contents)
        other.leases = {lease: set(chains) for lease, chains in self.leases.items()}
        other.expired = set(self.expired)
        other.files, other._numbers = self.files, self._numbers
        return other

    # What a store answers

    def map(self):
        return {chain: self.get(chain) for chain in sorted(self.trie)}

    def get(self, chain):
        diff_id, parent, size = self._there(chain)
        return StoredLayer(chain, diff_id, parent, size, self._content_size(diff_id))

    def open(self, chain):
        """The diff ID of what is read."""
        if not self.has_content:
            raise UnusableContentError
        diff_id, _, _ = self._there(chain)
        if diff_id not in self.contents:
            raise LayerNotFoundError(chain)
        return diff_id

    def alive(self):
        return sorted(self.leases.keys() - self.expired)

    # What images do

    def require(self, links):
        """Refuse a new image whose layers are not there with their content, where the store has a place for content."""
        if self.has_content:
            for link in reversed(links):
                self.open(link.chain_id)

    def hold(self, image_id, links):
        for chain, diff_id, parent in links:
            self.trie.setdefault(chain, (diff_id, parent, None))
        if links:
            self.tops[image_id] = links[-1].chain_id

    def let_go(self, image_id, *, with_files):
        top = self.tops.pop(image_id, None)
        return self._free(top, with_files=with_files)

    # Layers and leases

    def register(self, tar, parent, lease, *, is_own):
        """``tar`` is the diff ID, the size of the files and the size of all of it; ``lease`` None where none could be taken."""
        if not self.has_content:
            raise UnusableContentError
        diff_id, size, content_size = tar
        if is_own and self.is_joined:
            raise InvalidError
        if not is_own:
            self._require_alive(lease)
        if parent is not None:
            self._there(parent)
        if is_own:
            self.leases[lease] = set()
        link = chain_id([diff_id] if parent is None else [parent, diff_id])
        _, _, known = self.trie.get(link, (None, None, None))
        self.trie[link] = (diff_id, parent, size if known is None else known)
        self.leases[lease].add(link)
        file = self.write(diff_id, content_size, lease)
        if self.contents.setdefault(diff_id, file) != file and not self.is_joined:
            self.files.remove(file)
        return StoredLayer(link, diff_id, parent, size, content_size, lease if is_own else None)

    def write(self, diff_id, size, lease):
        file = File(next(self._numbers), lease, diff_id, size)
        self.files.add(file)
        return file

    def release(self, layer):
        self._require_alive(layer.lease)
        del self.leases[layer.lease]
        return self._free(layer.chain_id, with_files=True)

    def end(self, lease):
        was_alive = lease in self.leases and lease not in self.expired
        self.leases.pop(lease, None)
        self.expired.discard(lease)
        if not was_alive:
            raise LeaseExpiredError(lease)

    def renew(self, lease):
        self._require_alive(lease)

    def expire(self, lease):
        if lease in self.leases:
            self.expired.add(lease)

    def collect(self):
        leases = len(self.expired)
        for lease in self.expired:
            del self.leases[lease]
        self.expired = set()
        layers = len(self.trie)
        while alone := [chain for chain in self.trie if self._is_alone(chain)]:
            for chain in alone:
                del self.trie[chain]
        used = {diff_id for diff_id, _, _ in self.trie.values()}
        contents = [self.contents.pop(diff_id) for diff_id in list(self.contents) if diff_id not in used]
        unnamed = {file for file in self.files - set(self.contents.values()) if file.lease not in self.leases}
        self.files -= unnamed
        return Collected(
            leases, layers - len(self.trie), len(contents), sum(file.size for file in contents), len(unnamed)
        )

    def _free(self, chain, *, with_files):
        freed: list[Any] = []
        while self.frees and chain in self.trie and self._is_alone(chain):
            diff_id, parent, size = self.trie.pop(chain)
            freed.append((chain, diff_id, size or 0))
            chain = parent
        for _, diff_id, _ in freed:
            if diff_id in self.contents and all(diff_id != other for other, _, _ in self.trie.values()):
                file = self.contents.pop(diff_id)
                if with_files and not self.is_joined:
                    self.files.remove(file)
        total = self._size(chain)
        told = []
        for above, diff_id, size in reversed(freed):
            total += size
            told.append(LayerMetadata(above, diff_id, total, size))
        return told[::-1]

    def _size(self, chain):
        total = 0
        while chain is not None:
            _, chain, size = self.trie[chain]
            total += size or 0
        return total

    def _is_alone(self, chain):
        held = {*self.tops.values(), *(parent for _, parent, _ in self.trie.values())}
        return chain not in held.union(*self.leases.values())

    def _content_size(self, diff_id):
        return self.contents[diff_id].size if diff_id in self.contents else None

    def _there(self, chain):
        if chain not in self.trie:
            raise LayerNotFoundError(chain)
        return self.trie[chain]

    def _require_alive(self, lease):
        if lease not in self.leases or lease in self.expired:
            raise LeaseExpiredError(lease)
