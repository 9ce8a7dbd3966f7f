"""The rules of a place that keeps the bytes of layers, as a suite that any `imagestore.content.place.Content` can be held against.

    class TestMyContent(ContentContract):
        def make_content(self):
            return MyContent(...)

        def reopen(self, content):
            return MyContent(...)

Nothing here imports pytest.
"""

from __future__ import annotations

from collections.abc import Iterator

from imagestore.content.place import Content
from imagestore.testing.refusal import refusal

_ONE = "0123456789abcdef" * 2
_OTHER = "f" * 32
_SIZES = (0, 1, 511, 65_536, 3_000_001)


class ContentContract:
    """What every place for content does. Subclasses give `make_content`, and `reopen` where a second object sees the same place."""

    def make_content(self) -> Content:
        """A new place, that belongs to no store; each call another one."""
        raise NotImplementedError

    def reopen(self, content: Content) -> Content:
        """The same place, as another process would open it."""
        raise NotImplementedError

    def _claimed(self) -> Content:
        content = self.make_content()
        content.claim(_ONE)
        return content

    # Whose it is

    def test_a_new_place_is_nobodys(self) -> None:
        content = self.make_content()
        assert content.identity is None
        assert list(content.names()) == []

    def test_the_first_claim_stands(self) -> None:
        content = self.make_content()
        assert content.claim(_ONE) == _ONE
        assert content.claim(_OTHER) == content.claim(_ONE) == _ONE
        assert content.identity == self.reopen(content).identity == _ONE

    # Write and open

    def test_what_was_written_is_read(self) -> None:
        content = self._claimed()
        for size in _SIZES:
            data = bytes(number % 251 for number in range(size))
            content.write(f"a-{size}", [data[:1000], b"", data[1000:]])
            with self.reopen(content).open(f"a-{size}") as stream:
                assert stream.read() == data
            assert content.size(f"a-{size}") == size
        assert sorted(content.names()) == sorted(f"a-{size}" for size in _SIZES)

    def test_chunks_may_be_any_bytes(self) -> None:
        content = self._claimed()
        content.write("a", (chunk for chunk in (b"one", bytearray(b"two"), memoryview(b"three"))))  # type: ignore[misc]
        with content.open("a") as stream:
            assert [stream.read(4), stream.read(100), stream.read(1)] == [b"onet", b"wothree", b""]

    def test_a_name_is_written_once(self) -> None:
        content = self._claimed()
        content.write("a", [b"first"])
        refusal(FileExistsError, content.write, "a", [b"second"])
        with content.open("a") as stream:
            assert stream.read() == b"first"

    def test_an_error_of_the_chunks_leaves_nothing(self) -> None:
        content = self._claimed()

        def breaking() -> Iterator[bytes]:
            yield b"begun"
            raise ConnectionError("the peer is gone")

        refusal(ConnectionError, content.write, "a", breaking())
        assert list(content.names()) == []
        refusal(FileNotFoundError, content.open, "a")

    def test_what_is_not_there(self) -> None:
        content = self._claimed()
        refusal(FileNotFoundError, content.open, "absent")
        refusal(FileNotFoundError, content.size, "absent")
        content.delete("absent")

    def test_what_was_deleted_is_gone(self) -> None:
        content = self._claimed()
        content.write("a", [b"a"])
        content.write("b", [b"b"])
        content.delete("a")
        assert list(content.names()) == ["b"]
        refusal(FileNotFoundError, content.open, "a")

    def test_a_name_leads_nowhere_else(self) -> None:
        content = self._claimed()
        for name in ("", "../identity", "a/b", "/etc/passwd", "a\0b", "a" * 1000, "é", "."):
            refusal(ValueError, content.write, name, [b"data"])
            refusal(ValueError, content.open, name)
            refusal(ValueError, content.size, name)
            refusal(ValueError, content.delete, name)
        assert list(content.names()) == []
