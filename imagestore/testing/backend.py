"""The rules of `imagestore.backend.StoreBackend`, as a suite that any implementation of the port can be held against.

    class TestMyBackend(StoreBackendContract):
        def make_backend(self):
            return MyBackend(...)

        def damage(self, backend, digest, data):
            ...

`ListsMetadataKeysContract` and `WorksInBulkContract` are for those that offer more than the port. Nothing here imports pytest: the
methods assert, and any runner that calls the ``test_`` methods of a class will do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Final

from imagestore.backend import Copied, ListsMetadataKeys, StoreBackend, WorksInBulk, copy
from imagestore.digest import Digest
from imagestore.errors import (
    BlobNotFoundError,
    CorruptBlobError,
    InvalidDigestError,
    InvalidError,
    InvalidKeyError,
    MetadataNotFoundError,
)
from imagestore.testing.makers import make_config, make_digest
from imagestore.testing.refusal import refusal
from imagestore.testing.subject import BackendSubject

MALFORMED_DIGESTS: Final = (
    "",
    ":",
    "abc",
    "sha256",
    "sha256:",
    "sha256:abc",
    "sha256:" + "a" * 63,
    "sha256:" + "a" * 65,
    "sha256:" + "A" * 64,
    "sha256:" + "g" * 64,
    "sha256:" + "a" * 64 + "\n",
    "sha256:" + "٠" * 64,
    "sha256:" + "\udc80" * 64,
    "sha256:a\0b",
    "SHA256:" + "a" * 64,
    "foobar:" + "a" * 64,
    "sha256:../sha256/" + "a" * 64,
    "sha256/../sha256:" + "a" * 64,
    "../../etc:passwd",
)
"""Texts that are no digest; those that escape the root of moby's directory among them."""

UNUSABLE_KEYS: Final = ("", ".", "..", "/", "a/b", "../key", "/etc/passwd", "a\0b", "k" * 256, "é" * 128, "\ud800")
"""Metadata keys that no file of moby's directory can have as its name."""

KEYS: Final = (
    "parent",
    "lastUpdated",
    "Parent",
    " ",
    "a b",
    "a\nb",
    "ключ",
    "-",
    ".hidden",
    "...",
    "\\",
    "%2F",
    "\udcff\udcfe",
    "k" * 200,
)
"""Metadata keys that a file of moby's directory can have as its name; bytes that are no UTF-8 stand as lone surrogates."""

BYTES: Final = (b"\0", b"a\0b", bytes(range(256)), b"\xff\xfe", "smörgås\u2028".encode(), b"\n", b"{}")
"""Data and values that something on the way to a disk or a database may fail to keep."""


class StoreBackendContract(BackendSubject):
    """What every `StoreBackend` does. Subclasses give `make_backend` and `damage`.

    Source: moby's ``image/fs.go`` and its tests.
    """

    # Blobs

    def test_it_is_a_store_backend(self) -> None:
        assert isinstance(self.make_backend(), StoreBackend)

    def test_a_new_backend_is_empty(self) -> None:
        assert list(self.make_backend().walk()) == []

    def test_set_returns_the_sha256_digest_and_get_the_bytes(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        assert digest == "sha256:" + hashlib.sha256(b"foobar").hexdigest()
        assert isinstance(digest, Digest)
        assert backend.get(digest) == b"foobar"
        assert backend.get(str(digest)) == b"foobar"

    def test_any_bytes_are_kept(self) -> None:
        backend = self.make_backend()
        for data in BYTES:
            got = backend.get(backend.set(data))
            assert got == data
            assert type(got) is bytes

    def test_a_large_blob_is_kept(self) -> None:
        backend = self.make_backend()
        data = bytes(range(256)) * (4 << 12)
        assert backend.get(backend.set(data)) == data

    def test_no_bytes_at_all_are_refused(self) -> None:
        backend = self.make_backend()
        assert "empty" in str(refusal(InvalidError, backend.set, b""))
        assert list(backend.walk()) == []

    def test_set_twice_is_once(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        backend.set_metadata(digest, "key", b"value")
        assert backend.set(b"foobar") == digest
        assert list(backend.walk()) == [digest]
        assert backend.get_metadata(digest, "key") == b"value"

    def test_a_missing_blob_is_not_found(self) -> None:
        backend = self.make_backend()
        backend.set(b"foobar")
        missing = make_digest()
        for call in (
            lambda: backend.get(missing),
            lambda: backend.get_metadata(missing, "key"),
            lambda: backend.set_metadata(missing, "key", b"value"),
            lambda: backend.delete(missing),
        ):
            error = refusal(BlobNotFoundError, call)
            assert error.digest == missing
            assert missing in str(error)
        backend.delete_metadata(missing, "key")
        assert missing not in list(backend.walk())

    def test_what_is_no_digest_is_refused(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        backend.set_metadata(digest, "key", b"value")
        for text in MALFORMED_DIGESTS:
            for call in _calls_with_digest(backend, text):
                assert refusal(InvalidDigestError, call).text == text
        assert list(backend.walk()) == [digest]
        assert backend.get_metadata(digest, "key") == b"value"

    def test_a_digest_of_another_algorithm_finds_nothing(self) -> None:
        backend = self.make_backend()
        backend.set(b"foobar")
        sha512 = "sha512:" + hashlib.sha512(b"foobar").hexdigest()
        refusal((BlobNotFoundError, InvalidDigestError), backend.get, sha512)
        refusal((BlobNotFoundError, InvalidDigestError), backend.set_metadata, sha512, "key", b"value")

    # Deletion

    def test_delete_removes_the_blob_and_its_metadata(self) -> None:
        backend = self.make_backend()
        digest, other = backend.set(b"foobar"), backend.set(b"other")
        for blob in (digest, other):
            for key in KEYS:
                backend.set_metadata(blob, key, blob.encode())
        backend.delete(digest)
        refusal(BlobNotFoundError, backend.get, digest)
        refusal(BlobNotFoundError, backend.get_metadata, digest, "parent")
        assert list(backend.walk()) == [other]
        assert [backend.get_metadata(other, key) for key in KEYS] == [other.encode()] * len(KEYS)

    def test_a_blob_that_comes_back_has_no_metadata(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        for key in KEYS:
            backend.set_metadata(digest, key, b"value")
        backend.delete(digest)
        assert backend.set(b"foobar") == digest
        for key in KEYS:
            refusal(MetadataNotFoundError, backend.get_metadata, digest, key)

    # Walking

    def test_walk_goes_in_the_order_of_the_digests(self) -> None:
        backend = self.make_backend()
        made = [backend.set(f"blob {number}".encode()) for number in range(300)]
        assert list(backend.walk()) == sorted(made)
        assert all(isinstance(digest, Digest) for digest in backend.walk())

    def test_what_is_walked_can_be_read_and_removed_meanwhile(self) -> None:
        backend = self.make_backend()
        made = sorted(backend.set(f"blob {number}".encode()) for number in range(20))
        walked = []
        for digest in backend.walk():
            backend.set_metadata(digest, "key", backend.get(digest))
            backend.delete(digest)
            walked.append(digest)
        assert walked == made
        assert list(backend.walk()) == []

    def test_a_walk_can_end_early(self) -> None:
        backend = self.make_backend()
        made = sorted(backend.set(f"blob {number}".encode()) for number in range(5))
        walk = backend.walk()
        assert next(iter(walk)) == made[0]
        del walk
        backend.delete(made[1])
        assert list(backend.walk()) == [made[0], *made[2:]]

    def test_two_walks_do_not_disturb_each_other(self) -> None:
        backend = self.make_backend()
        made = sorted(backend.set(f"blob {number}".encode()) for number in range(5))
        assert list(zip(backend.walk(), backend.walk(), strict=True)) == list(zip(made, made, strict=True))

    # Metadata

    def test_any_value_is_kept(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        for value in (*BYTES, b"", b"v" * (1 << 20)):
            backend.set_metadata(digest, "key", value)
            got = backend.get_metadata(digest, "key")
            assert got == value
            assert type(got) is bytes

    def test_any_key_is_kept_that_can_be_a_file_name(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        for key in KEYS:
            backend.set_metadata(digest, key, b"first")
            backend.set_metadata(digest, key, key.encode("utf-8", "surrogateescape"))
        assert [backend.get_metadata(digest, key) for key in KEYS] == [
            key.encode("utf-8", "surrogateescape") for key in KEYS
        ]
        assert list(backend.walk()) == [digest]

    def test_other_keys_are_refused(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        backend.set_metadata(digest, "key", b"value")
        for key in UNUSABLE_KEYS:
            assert refusal(InvalidKeyError, backend.set_metadata, digest, key, b"value").key == key
            refusal((InvalidKeyError, MetadataNotFoundError), backend.get_metadata, digest, key)
        refusal(InvalidKeyError, backend.set_metadata, digest, "k" * 250, b"value")
        refusal((InvalidKeyError, MetadataNotFoundError), backend.get_metadata, digest, "k" * 250)
        assert list(backend.walk()) == [digest]
        assert backend.get(digest) == b"foobar"
        assert backend.get_metadata(digest, "key") == b"value"

    def test_deleting_with_such_a_key_removes_nothing(self) -> None:
        backend = self.make_backend()
        digest, other = backend.set(b"foobar"), backend.set(b"other")
        for blob in (digest, other):
            backend.set_metadata(blob, "key", b"value")
        for key in ("..", ".", "", "a\0b", f"../{other.hex}", f"../{other.hex}/key", "../../../content/sha256"):
            refusal(InvalidKeyError, backend.delete_metadata, digest, key)
        assert list(backend.walk()) == sorted([digest, other])
        assert [backend.get_metadata(blob, "key") for blob in (digest, other)] == [b"value"] * 2

    def test_a_missing_key_is_not_found(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        refusal(MetadataNotFoundError, backend.get_metadata, digest, "key")
        backend.set_metadata(digest, "key", b"value")
        for key in ("Key", "KEY", "ke", "key ", "parent"):
            error = refusal(MetadataNotFoundError, backend.get_metadata, digest, key)
            assert (error.digest, error.key) == (digest, key)

    def test_a_key_belongs_to_one_blob(self) -> None:
        backend = self.make_backend()
        digest, other = backend.set(b"foobar"), backend.set(b"other")
        backend.set_metadata(digest, "key", b"value")
        refusal(MetadataNotFoundError, backend.get_metadata, other, "key")

    def test_delete_metadata_removes_one_key(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        for key in KEYS:
            backend.set_metadata(digest, key, b"value")
        for key in KEYS:
            backend.delete_metadata(digest, key)
            refusal(MetadataNotFoundError, backend.get_metadata, digest, key)
            backend.delete_metadata(digest, key)
            backend.set_metadata(digest, key, b"again")
        assert [backend.get_metadata(digest, key) for key in KEYS] == [b"again"] * len(KEYS)
        assert backend.get(digest) == b"foobar"

    # Damage

    def test_damaged_bytes_are_never_given_out(self) -> None:
        backend = self.make_backend()
        digest, other = backend.set(b"foobar"), backend.set(b"other")
        backend.set_metadata(digest, "key", b"value")
        self.damage(backend, digest, b"foobaz")
        for call in (
            lambda: backend.get(digest),
            lambda: backend.get_metadata(digest, "key"),
            lambda: backend.set_metadata(digest, "key", b"other"),
        ):
            error = refusal(CorruptBlobError, call)
            assert error.digest == digest
            assert digest in str(error)
        assert list(backend.walk()) == sorted([digest, other])
        assert backend.get(other) == b"other"

    def test_sound_bytes_mend_a_damaged_blob_and_keep_its_metadata(self) -> None:
        backend = self.make_backend()
        for data in (b"foobar", make_config()):
            digest = backend.set(data)
            backend.set_metadata(digest, "key", b"value")
            self.damage(backend, digest, b"{}")
            assert backend.set(data) == digest
            assert backend.get(digest) == data
            assert backend.get_metadata(digest, "key") == b"value"

    def test_a_damaged_blob_can_be_removed_and_set_again(self) -> None:
        backend = self.make_backend()
        digest = backend.set(b"foobar")
        backend.set_metadata(digest, "key", b"value")
        self.damage(backend, digest, b"")
        backend.delete_metadata(digest, "key")
        backend.delete(digest)
        assert list(backend.walk()) == []
        assert backend.set(b"foobar") == digest
        assert backend.get(digest) == b"foobar"

    # Copying

    def test_it_is_copied_whole(self) -> None:
        source, target = self.make_backend(), self.make_backend()
        blobs = [source.set(data) for data in (*BYTES, make_config())]
        source.set_metadata(blobs[0], "parent", blobs[1].encode())
        source.set_metadata(blobs[1], "parent", b"garbage")
        source.set_metadata(blobs[1], "lastUpdated", b"2020-10-01T12:30:00.123456789Z")
        target.set(b"another")
        for _ in range(2):
            copy(source, target)
            assert list(target.walk()) == sorted([*blobs, Digest.from_bytes(b"another")])
            assert [target.get(blob) for blob in blobs] == [*BYTES, make_config()]
            assert target.get_metadata(blobs[0], "parent") == blobs[1].encode()
            assert target.get_metadata(blobs[1], "parent") == b"garbage"
            assert target.get_metadata(blobs[1], "lastUpdated") == b"2020-10-01T12:30:00.123456789Z"
            refusal(MetadataNotFoundError, target.get_metadata, blobs[2], "parent")


class ListsMetadataKeysContract(BackendSubject):
    """What a backend does that is also an `imagestore.backend.ListsMetadataKeys`."""

    def test_all_keys_are_listed_in_the_order_of_their_bytes(self) -> None:
        backend = self.make_backend()
        assert isinstance(backend, ListsMetadataKeys)
        digest, other = backend.set(b"foobar"), backend.set(b"other")
        assert backend.metadata_keys(digest) == []
        for key in KEYS:
            backend.set_metadata(digest, key, b"value")
        assert backend.metadata_keys(digest) == sorted(KEYS, key=os.fsencode)
        assert backend.metadata_keys(other) == []
        backend.delete_metadata(digest, KEYS[0])
        assert backend.metadata_keys(digest) == sorted(KEYS[1:], key=os.fsencode)

    def test_keys_are_listed_of_a_blob_that_is_there(self) -> None:
        backend = self.make_backend()
        assert isinstance(backend, ListsMetadataKeys)
        refusal(BlobNotFoundError, backend.metadata_keys, make_digest())
        for text in MALFORMED_DIGESTS:
            refusal(InvalidDigestError, backend.metadata_keys, text)

    def test_a_copy_takes_all_keys(self) -> None:
        source, target = self.make_backend(), self.make_backend()
        digest = source.set(b"foobar")
        for key in KEYS:
            source.set_metadata(digest, key, key.encode("utf-8", "surrogateescape"))
        assert copy(source, target) == Copied(blobs=1, metadata=len(KEYS))
        assert [target.get_metadata(digest, key) for key in KEYS] == [source.get_metadata(digest, key) for key in KEYS]
        assert copy(source, target) == Copied(blobs=0, metadata=0)


class WorksInBulkContract(BackendSubject):
    """What a backend does that is also an `imagestore.backend.WorksInBulk`."""

    def test_many_blobs_are_set_and_got(self) -> None:
        backend = self.make_backend()
        assert isinstance(backend, WorksInBulk)
        there = backend.set(b"there")
        many = [*BYTES, b"there", BYTES[0], make_config()]
        digests = backend.set_many(many)
        assert digests == [Digest.from_bytes(data) for data in many]
        assert list(backend.walk()) == sorted(set(digests))
        assert backend.get_many([*digests, make_digest()]) == dict(zip(digests, many, strict=True))
        assert backend.get_many([there]) == {there: b"there"}
        assert backend.set_many([]) == []
        assert backend.get_many([]) == {}

    def test_many_blobs_are_set_or_none(self) -> None:
        backend = self.make_backend()
        assert isinstance(backend, WorksInBulk)
        refusal(InvalidError, backend.set_many, [b"foobar", b"", b"other"])
        assert list(backend.walk()) == []

    def test_many_values_are_set_and_got(self) -> None:
        backend = self.make_backend()
        assert isinstance(backend, WorksInBulk)
        digest, other, bare = (backend.set(data) for data in BYTES[:3])
        backend.set_metadata(digest, "key", b"first")
        backend.set_many_metadata([(digest, key, key.encode("utf-8", "surrogateescape")) for key in KEYS])
        backend.set_many_metadata([(digest, "key", b"second"), (other, "key", b""), (other, "parent", b"garbage")])
        backend.set_many_metadata([])
        assert backend.get_many_metadata([digest, other, bare, make_digest()]) == {
            digest: {"key": b"second", **{key: key.encode("utf-8", "surrogateescape") for key in KEYS}},
            other: {"key": b"", "parent": b"garbage"},
        }

    def test_many_values_are_set_or_none(self) -> None:
        backend = self.make_backend()
        assert isinstance(backend, WorksInBulk)
        digest = backend.set(b"foobar")
        first = (digest, "key", b"value")
        refusal(BlobNotFoundError, backend.set_many_metadata, [first, (make_digest(), "key", b"value")])
        refusal(InvalidKeyError, backend.set_many_metadata, [first, (digest, "..", b"value")])
        refusal(InvalidDigestError, backend.set_many_metadata, [first, ("sha256:abc", "key", b"value")])
        refusal(MetadataNotFoundError, backend.get_metadata, digest, "key")

    def test_many_blobs_are_verified(self) -> None:
        backend = self.make_backend()
        assert isinstance(backend, WorksInBulk)
        digest, other = backend.set_many([b"foobar", b"other"])
        self.damage(backend, digest, b"foobaz")
        assert refusal(CorruptBlobError, backend.get_many, [other, digest]).digest == digest


def _calls_with_digest(backend: StoreBackend, text: str) -> list[Callable[[], object]]:
    return [
        lambda: backend.get(text),
        lambda: backend.delete(text),
        lambda: backend.set_metadata(text, "key", b"value"),
        lambda: backend.get_metadata(text, "key"),
        lambda: backend.delete_metadata(text, "key"),
    ]
