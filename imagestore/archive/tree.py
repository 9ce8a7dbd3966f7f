"""Where the names of an archive lead: a tree in memory of what the daemon would have unpacked into a folder of its own, and nothing else.

The daemon unpacks in a chroot and then looks names up within that folder, so no name and no link leads out of it: "..", "/" and links
end at its root. What it could not have unpacked raises here in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol

from imagestore.archive.limits import Limits
from imagestore.archive.tar import FOLDER, LINK, REGULAR, SYMLINK, Member, unpacking
from imagestore.errors import ArchiveLimitError, InvalidArchiveError
from imagestore.gojson import shortened

_SPECIAL: Final = frozenset((b"3", b"4", b"6"))
_DOING: Final = {FOLDER: "mkdir", LINK: "link"}
_LONG: Final = 512
_LONGEST_NAME: Final = 255
_LONGEST_PATH: Final = 4095
_MOST_LINKS: Final = 40
_MOST_STEPS: Final = 255


class Body(Protocol):
    """The bytes of a file."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def open(self) -> BinaryIO:
        """The bytes from their beginning; the caller closes the stream."""
        ...


class Folder:
    """A folder, with what is in it by name."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[str, Node] = {}


class File(NamedTuple):
    """A file; several names of one, by hard links, share the body."""

    body: Body


class Symlink(NamedTuple):
    """A symbolic link, with the text that it has."""

    target: str


class Special(NamedTuple):
    """A device or a pipe, of which nothing is ever read."""

    kind: bytes


Node = Folder | File | Symlink | Special


class Tree:
    """The files of an archive by name.

    Args:
        limits: ``entries`` bounds what is kept in memory.
    """

    def __init__(self, limits: Limits) -> None:
        self._root = Folder()
        self._limit = limits.entries
        self._count = 0

    def add(self, member: Member, body: Body | None = None) -> None:
        """Add a member as if it were unpacked now: it takes the place of what has its name.

        Raises:
            InvalidArchiveError: it could not be unpacked.
            ArchiveLimitError: there are too many.

        Source: moby's ``archive.Unpack`` and ``createTarFile``.
        """
        target = member.target if member.kind in (LINK, SYMLINK) else ""
        self._count_one(_length(member.name) + _length(target))
        parts = clamped(member.name)
        path = "/" + "/".join(parts)
        shown = shortened(path)
        if member.kind not in (REGULAR, LINK, SYMLINK, FOLDER) and member.kind not in _SPECIAL:
            raise unpacking("unsafe-path", f"unhandled tar header type {member.kind[0]}")
        if not parts:
            return
        doing = f"symlink {shortened(target)}" if member.kind == SYMLINK else _DOING.get(member.kind, "open")
        if max(map(_length, parts)) > _LONGEST_NAME or max(map(_length, (path, target))) > _LONGEST_PATH:
            raise unpacking("unsafe-path", f"{doing} {shown}: file name too long")
        if member.kind == SYMLINK and not target:
            raise unpacking("unsafe-path", f"{doing} {shown}: no such file or directory")
        folder = self._parent(parts, shown, doing)
        standing = folder.entries.get(parts[-1])
        if member.kind == FOLDER and isinstance(standing, Folder):
            return
        if standing is not None:
            del folder.entries[parts[-1]]
        folder.entries[parts[-1]] = self._made(member, body, shown)

    def find(self, path: str) -> tuple[str, Node | None]:
        """Where a name leads that a document in the archive has: the path, without links, and what is there.

        Raises:
            InvalidArchiveError: it leads out of the archive, through a file, or along too many links.

        Source: moby's ``symlink.FollowSymlinkInScope``.
        """
        pending = _cleaned(path)
        if pending[:1] == [".."]:
            outside = shortened("/".join(pending))
            raise InvalidArchiveError("unsafe-path", f"evalSymlinksInScope: {outside} is not in the archive")
        pending.reverse()
        at: list[str] = []
        nodes: list[Node | None] = [self._root]  # of which the last is what is at the path
        for _ in range(_MOST_STEPS):
            if not pending:
                return "/".join(at), nodes[-1]
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                at, nodes = at[:-1], nodes[:-1] or nodes
                continue
            if "\0" in part or _length(part) > _LONGEST_NAME:
                problem = "invalid argument" if "\0" in part else "file name too long"
                raise InvalidArchiveError("unsafe-path", f"lstat {shortened('/'.join([*at, part]))}: {problem}")
            node = _below(nodes[-1], at, part)
            if isinstance(node, Symlink):
                if node.target.startswith("/"):
                    at, nodes = [], nodes[:1]
                pending += reversed(node.target.split("/", _MOST_STEPS))
            else:
                at.append(part)
                nodes.append(node)
        raise InvalidArchiveError("unsafe-path", f"evalSymlinksInScope: too many links in {shortened(path)}")

    def folders(self) -> list[str]:
        """The names of the folders at the root, in order."""
        return sorted(name for name, node in self._root.entries.items() if isinstance(node, Folder))

    def files(self) -> Iterator[tuple[str, File]]:
        """All files with their paths, in the order of the names in each folder."""
        pending: list[tuple[str, Node]] = [("", self._root)]
        while pending:
            path, node = pending.pop()
            if isinstance(node, File):
                yield path, node
            elif isinstance(node, Folder):
                below = sorted(node.entries.items(), reverse=True)
                pending += [(f"{path}/{name}" if path else name, entry) for name, entry in below]

    def _parent(self, parts: list[str], shown: str, doing: str) -> Folder:
        """The folder that a member is unpacked into; folders are made where nothing is, and links on the way are followed."""
        found = self._followed(parts[:-1], shown, doing, makes=True)
        if not isinstance(found, Folder):
            raise unpacking("unsafe-path", f"{doing} {shown}: not a directory")
        return found

    def _followed(self, parts: list[str], shown: str, doing: str, *, makes: bool) -> Node:
        """What is at a path for the kernel, in a chroot: links are followed, also the last one."""
        trail: list[Folder] = [self._root]
        pending = list(reversed(parts))
        own = len(pending)  # of them, those below are the path's own, and those above are a link's
        links = steps = 0
        while pending:
            steps += len(pending) > own
            part = pending.pop()
            is_links, own = len(pending) >= own, min(own, len(pending))
            if part in ("", "."):
                continue
            if part == "..":
                trail = trail[:-1] or trail
                continue
            node = trail[-1].entries.get(part)
            if isinstance(node, Symlink):
                links += 1
                if links > _MOST_LINKS or steps > _MOST_STEPS:
                    raise unpacking("unsafe-path", f"{doing} {shown}: too many levels of symbolic links")
                if node.target.startswith("/"):
                    trail = trail[:1]
                pending += reversed(node.target.split("/"))
                continue
            if node is None and makes and not is_links:
                self._count_one()
                node = trail[-1].entries[part] = Folder()
            if isinstance(node, Folder):
                trail.append(node)
            elif node is None and makes and own:
                link = "/" + "/".join(parts[: len(parts) - own])
                raise unpacking("unsafe-path", f"mkdir {shortened(link)}: file exists")
            elif node is None:
                raise unpacking("unsafe-path", f"{doing} {shown}: no such file or directory")
            elif pending:
                raise unpacking("unsafe-path", f"{doing} {shown}: not a directory")
            else:
                return node
        return trail[-1]

    def _made(self, member: Member, body: Body | None, shown: str) -> Node:
        if member.kind == FOLDER:
            return Folder()
        if member.kind == SYMLINK:
            return Symlink(member.target)
        if member.kind == LINK:
            return self._linked(member, shown)
        return Special(member.kind) if body is None else File(body)

    def _linked(self, member: Member, shown: str) -> Node:
        parts = clamped(member.target)
        doing = f"link {shortened('/' + '/'.join(parts))}"
        folder = self._followed(parts[:-1], shown, doing, makes=False)
        if not isinstance(folder, Folder):
            raise unpacking("unsafe-path", f"{doing} {shown}: not a directory")
        node = folder.entries.get(parts[-1]) if parts else folder
        if node is None:
            raise unpacking("unsafe-path", f"{doing} {shown}: no such file or directory")
        if isinstance(node, Folder):
            raise unpacking("unsafe-path", f"{doing} {shown}: operation not permitted")
        return node

    def _count_one(self, length: int = 0) -> None:
        """Count an entry; one whose name and target are long counts as several."""
        self._count += 1 + length // _LONG
        if self._count > self._limit:
            raise ArchiveLimitError("entries", self._limit, f"the archive has {self._count} entries")


def _length(name: str) -> int:
    """The bytes of a name."""
    return len(name) if name.isascii() else len(name.encode("utf-8", "surrogateescape"))


def _below(node: Node | None, at: list[str], part: str) -> Node | None:
    if node is None or isinstance(node, Folder):
        return None if node is None else node.entries.get(part)
    raise InvalidArchiveError("unsafe-path", f"lstat {shortened('/'.join([*at, part]))}: not a directory")


def clamped(path: str) -> list[str]:
    """The parts of a path from the root, at which ".." ends."""
    cleaned = _cleaned(path)
    return [part for part in cleaned if part != ".."]


def _cleaned(path: str) -> list[str]:
    """The parts of a path without "." and with ".." at its beginning alone (Go's ``filepath.Clean``)."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part == ".." and path.startswith("/"):
            continue
        elif part not in ("", "."):
            parts.append(part)
    return parts
