"""The rules of a store's references, moby's ``reference.Store``. For every store on a database, also one that has joined a connection."""

from __future__ import annotations

from typing import Final

from imagestore.digest import ImageID
from imagestore.errors import (
    ImageNotFoundError,
    InvalidDigestError,
    InvalidError,
    InvalidReferenceError,
    ReferenceConflictError,
    ReferenceNotFoundError,
)
from imagestore.reference import Reference
from imagestore.sql.references import Association
from imagestore.store import Store
from imagestore.testing.backend import MALFORMED_DIGESTS
from imagestore.testing.makers import make_config, make_digest
from imagestore.testing.refusal import refusal
from imagestore.testing.subject import StoreSubject

DIGEST: Final = make_digest("a manifest")

MALFORMED_REFERENCES: Final = (
    "",
    " ",
    ":1",
    "@",
    f"@{DIGEST}",
    "app:",
    "app@",
    "app:1:2",
    "app:1 ",
    " app",
    "app\n",
    "app\0",
    "App",
    "team/App:1",
    "app//x",
    "/app",
    "app/",
    "../app",
    "-app",
    "app_",
    "app___x",
    "app..x",
    "äpp",
    "app:ä",
    "app:-1",
    "app:" + "t" * 129,
    "x" * 256,
    "host.test:port/app",
    "https://host.test/app",
    "app@sha256:abc",
    "app@sha256:" + "A" * 64,
    "app@md5:" + "0" * 32,
    "app@" + DIGEST.hex,
    DIGEST.hex,
    "sha256:" + DIGEST.hex,
)
"""Texts that are no references, or that no tag may have."""


class ReferencesContract(StoreSubject):
    """What every store on a database does with names. Subclasses give `make_store` and `reopen`."""

    # Tags

    def test_a_tag_stands_for_its_image(self) -> None:
        store, image_id, _ = self._store()
        store.references.add_tag("app:1", image_id)
        assert store.references.get("app:1") == image_id
        assert isinstance(store.references.get("app:1"), ImageID)
        assert store.references.references(image_id) == [Reference.parse("app:1")]
        assert self.reopen(store).references.get("app:1") == image_id

    def test_a_name_has_many_forms(self) -> None:
        store, image_id, _ = self._store()
        store.references.add_tag("index.docker.io/app", image_id)
        for form in ("app", "app:latest", "library/app", "docker.io/app", "docker.io/library/app:latest"):
            assert store.references.get(form) == store.references.get(Reference.parse(form)) == image_id
        assert store.references.references(image_id) == [Reference.parse("app:latest")]
        refusal(ReferenceConflictError, store.references.add_tag, "docker.io/app:latest", image_id)
        assert store.references.delete("library/app")
        refusal(ReferenceNotFoundError, store.references.get, "app")

    def test_an_image_has_many_names_in_order(self) -> None:
        store, image_id, other = self._store()
        names = ["reg.test:5000/a/b:1", "app:2", "app:1", "app.b:1", "app-b:1", "a/b/c:x", "localhost/app:1", "app2:1"]
        for name in names:
            store.references.add_tag(name, image_id)
        found = store.references.references(image_id)
        assert {each.familiar for each in found} == set(names)
        assert [str(each) for each in found] == sorted(str(each) for each in found)
        assert store.references.references(other) == store.references.references(make_digest()) == []
        assert store.references.of_images([image_id, other, make_digest()]) == {image_id: found}

    def test_a_tag_that_is_set_stays_unless_forced(self) -> None:
        store, image_id, other = self._store()
        store.references.add_tag("app:1", image_id)
        for each in (other, image_id, make_digest()):
            error = refusal(ReferenceConflictError, store.references.add_tag, "app:1", each)
            assert (error.reference, error.image_id) == ("app:1", image_id)
            assert str(error) == (
                f"Conflict: Tag app:1 is already set to image {image_id}, if you want to replace it, please use the force option"
            )
        store.references.add_tag("app:1", other, force=True)
        assert store.references.get("app:1") == other
        assert store.references.references(image_id) == []
        store.references.add_tag("app:1", other, force=True)
        assert store.references.references(other) == [Reference.parse("app:1")]

    def test_a_tag_has_no_digest(self) -> None:
        store, image_id, _ = self._store()
        for name in (f"app@{DIGEST}", f"app:1@{DIGEST}"):
            error = refusal(InvalidReferenceError, store.references.add_tag, name, image_id, True)
            assert error.reason == "refusing to create a tag with a digest reference"
        assert store.references.page() == []

    def test_a_name_that_would_be_an_id_is_refused(self) -> None:
        store, image_id, _ = self._store()
        for name in ("sha256", "sha256:abc", "docker.io/library/sha256:1"):
            error = refusal(InvalidReferenceError, store.references.add_tag, name, image_id)
            assert error.reason == "refusing to create an ambiguous tag using digest algorithm as name"
        error = refusal(InvalidReferenceError, store.references.add_digest, f"sha256@{DIGEST}", image_id)
        assert error.reason == "refusing to create an ambiguous tag using digest algorithm as name"
        assert store.references.page() == []
        store.references.add_tag("team/sha256:1", image_id)
        store.references.add_tag("sha512:1", image_id)

    # Digests

    def test_a_digest_stands_for_its_image(self) -> None:
        store, image_id, _ = self._store()
        store.references.add_digest(f"app@{DIGEST}", image_id)
        assert store.references.get(f"app@{DIGEST}") == image_id
        assert store.references.references(image_id) == [Reference.parse(f"app@{DIGEST}")]
        refusal(ReferenceNotFoundError, store.references.get, "app")
        refusal(ReferenceNotFoundError, store.references.get, f"app:{DIGEST.hex}")

    def test_of_a_tag_and_a_digest_the_digest_counts(self) -> None:
        store, image_id, other = self._store()
        store.references.add_tag("app:1", other)
        store.references.add_digest(f"app:1@{DIGEST}", image_id)
        assert store.references.references(image_id) == [Reference.parse(f"app@{DIGEST}")]
        assert store.references.get(f"app:2@{DIGEST}") == image_id
        assert store.references.delete(f"app:1@{DIGEST}")
        assert store.references.get("app:1") == other
        refusal(ReferenceNotFoundError, store.references.get, f"app@{DIGEST}")

    def test_a_digest_is_never_set_anew(self) -> None:
        store, image_id, other = self._store()
        store.references.add_digest(f"app@{DIGEST}", image_id)
        for each in (other, image_id):
            for force in (False, True):
                error = refusal(ReferenceConflictError, store.references.add_digest, f"app:2@{DIGEST}", each, force)
                assert str(error) == f"Cannot overwrite digest {DIGEST}"
        store.references.add_digest(f"team/app@{DIGEST}", other)
        assert store.references.get(f"app@{DIGEST}") == image_id

    def test_what_has_no_digest_is_no_digest(self) -> None:
        store, image_id, _ = self._store()
        for name in ("app", "app:1"):
            assert "digest" in refusal(InvalidReferenceError, store.references.add_digest, name, image_id).reason
        assert store.references.page() == []

    def test_other_algorithms(self) -> None:
        store, image_id, _ = self._store()
        name = "app@sha512:" + "0" * 128
        store.references.add_digest(name, image_id)
        assert store.references.get(name) == image_id

    # Delete

    def test_a_name_goes_and_the_image_stays(self) -> None:
        store, image_id, _ = self._store()
        store.references.add_tag("app:1", image_id)
        store.references.add_tag("app:2", image_id)
        assert store.references.delete("app:1") is True
        assert store.references.delete("app:1") is False
        assert store.references.references(image_id) == [Reference.parse("app:2")]
        assert image_id in store

    def test_what_is_not_there(self) -> None:
        store, image_id, _ = self._store()
        store.references.add_tag("app:1", image_id)
        for name in ("app", "app:2", "team/app:1", f"app@{DIGEST}", "host.test/library/app:1"):
            assert store.references.delete(name) is False
            error = refusal(ReferenceNotFoundError, store.references.get, name)
            assert str(error) == f"reference does not exist: {Reference.parse(name).tagged.familiar}"
            assert isinstance(error, LookupError)

    def test_names_go_with_their_image(self) -> None:
        store, image_id, other = self._store()
        for name, each in (("app:1", image_id), ("app:2", other), ("app:3", image_id)):
            store.references.add_tag(name, each)
        store.delete(image_id)
        assert store.references.page() == [Association(Reference.parse("app:2"), other)]
        store.create(make_config("image"))
        refusal(ReferenceNotFoundError, store.references.get, "app:1")

    def test_names_go_with_their_blob(self) -> None:
        store, image_id, _ = self._store()
        store.references.add_tag("app:1", image_id)
        store.backend.delete(image_id)
        assert store.references.page() == []

    # Lists

    def test_the_names_of_a_repository(self) -> None:
        store, image_id, other = self._store()
        for name, each in (("app:2", image_id), ("app:1", other), ("app2:1", image_id), ("team/app:1", image_id)):
            store.references.add_tag(name, each)
        store.references.add_digest(f"app@{DIGEST}", image_id)
        expected = [("app:1", other), ("app:2", image_id), (f"app@{DIGEST}", image_id)]
        for name in ("app", "app:1", "docker.io/library/app:none", f"app@{make_digest()}"):
            found = store.references.references_by_name(name)
            assert [(each.reference.familiar, each.image_id) for each in found] == expected
        assert store.references.references_by_name("nothing") == []

    def test_pages_are_in_order_and_whole(self) -> None:
        store, image_id, _ = self._store()
        names = sorted(f"docker.io/team/{name}:{tag}" for name in ("a", "a-b", "a.b", "ab") for tag in ("1", "B", "_"))
        for name in reversed(names):
            store.references.add_tag(name, image_id)
        for limit in (1, 5, len(names), 2**70):
            found: list[str] = []
            after: Reference | None = None
            while page := store.references.page(after, limit):
                assert len(page) <= limit
                found += [str(each.reference) for each in page]
                after = page[-1].reference
            assert found == names
        assert [str(each.reference) for each in store.references.stream()] == names
        assert [str(each.reference) for each in store.references.page("team/a:A")] == [
            n for n in names if n > "docker.io/team/a:A"
        ]
        for limit in (0, -1):
            refusal(InvalidError, store.references.page, None, limit)

    # Bad input leaves nothing behind

    def test_an_image_that_is_not_there_gets_no_name(self) -> None:
        store, image_id, _ = self._store()
        missing = make_digest()
        assert refusal(ImageNotFoundError, store.references.add_tag, "app:1", missing).image_id == missing
        assert refusal(ImageNotFoundError, store.references.add_digest, f"app@{DIGEST}", missing).image_id == missing
        assert store.references.page() == []
        store.references.add_tag("app:1", image_id)
        refusal(ImageNotFoundError, store.references.add_tag, "app:1", missing, True)
        assert store.references.get("app:1") == image_id

    def test_a_blob_that_is_no_image_gets_no_name(self) -> None:
        store, _, _ = self._store()
        digest = store.backend.set(b"no image")
        refusal(ImageNotFoundError, store.references.add_tag, "app:1", digest)

    def test_malformed_references_are_refused(self) -> None:
        store, image_id, _ = self._store()
        store.references.add_tag("app:1", image_id)
        references = store.references
        for text in MALFORMED_REFERENCES:
            error = refusal(InvalidReferenceError, references.add_tag, text, image_id, True)
            assert error.reason
            refusal(InvalidReferenceError, references.add_digest, text, image_id)
            if not text.startswith("sha256:"):
                for call in (references.get, references.delete, references.references_by_name, references.page):
                    refusal(InvalidReferenceError, call, text)
        assert references.page() == [Association(Reference.parse("app:1"), image_id)]

    def test_parts_that_nobody_has_checked_are_refused(self) -> None:
        store, image_id, _ = self._store()
        for reference in (
            Reference("docker.io", "library/APP", "1"),
            Reference("docker.io", "library/app", "1\0"),
            Reference("docker.io", "app", "1"),
            Reference("", "app", "1"),
            Reference("docker.io", "library/app", "1/x"),
            Reference("docker.io", "library/app:1"),
        ):
            refusal(InvalidReferenceError, store.references.add_tag, reference, image_id)
        assert store.references.page() == []

    def test_what_is_no_reference_at_all(self) -> None:
        store, image_id, _ = self._store()
        for value in (None, 1, b"app:1", ("app", "1")):
            refusal(InvalidReferenceError, store.references.add_tag, value, image_id)
            refusal(InvalidReferenceError, store.references.get, value)
            refusal(InvalidReferenceError, store.references.delete, value)

    def test_malformed_ids_are_refused(self) -> None:
        store, _, _ = self._store()
        for text in MALFORMED_DIGESTS:
            refusal(InvalidDigestError, store.references.add_tag, "app:1", text)
            refusal(InvalidDigestError, store.references.references, text)
        assert store.references.page() == []

    def test_the_longest_names(self) -> None:
        store, image_id, _ = self._store()
        name = "host.test/" + "x" * 245 + ":" + "t" * 128
        store.references.add_tag(name, image_id)
        assert store.references.get(name) == image_id
        assert [each.familiar for each in store.references.references(image_id)] == [name]

    def _store(self) -> tuple[Store, ImageID, ImageID]:
        """A store with two images."""
        store = self.make_store()
        return store, store.create(make_config("image")), store.create(make_config("other"))
