"""Where the names of an archive lead, against what the daemon unpacks in its chroot and then finds there."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagestore.archive.limits import Limits
from imagestore.archive.tar import FOLDER, LINK, REGULAR, SYMLINK, Member
from imagestore.archive.tree import File, Folder, Special, Tree
from imagestore.errors import ArchiveLimitError, InvalidArchiveError

LIMITS = Limits()
DEVICE, FIFO = b"3", b"6"


class Named:
    """A file's bytes, which nobody reads here, with the name under which they came."""

    size = 1

    def __init__(self, name):
        self.name = name

    def open(self):
        raise AssertionError(f"{self.name} is read")


def tree(*members, limits=LIMITS):
    """A tree of (kind, name) or (kind, name, target); a file's body has the name that it came under."""
    made = Tree(limits)
    for kind, name, *target in members:
        made.add(Member(kind, name, "".join(target), 1, False), Named(name) if kind == REGULAR else None)
    return made


def found(made, path):
    """The name under which the file at a path came; None where nothing is."""
    _, node = made.find(path)
    return node.body.name if isinstance(node, File) and isinstance(node.body, Named) else node


def unpacking(*members):
    with pytest.raises(InvalidArchiveError) as caught:
        tree(*members)
    assert caught.value.reason == "unsafe-path"
    return str(caught.value).removeprefix("Error processing tar file(exit status 1): ")


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("a", "a"),
        ("./a", "a"),
        ("a//b", "a/b"),
        ("/a", "a"),
        ("../a", "a"),
        ("../../a/../b", "b"),
        ("/../a", "a"),
        ("a/./b/.", "a/b"),
        ("a\udcff", "a\udcff"),
        ("a\n\u202eb", "a\n\u202eb"),
    ],
)
def test_names_end_at_the_root(name, at):
    assert found(tree((REGULAR, name)), at) == name


@pytest.mark.parametrize("name", ["", ".", "/", "..", "a/..", "../.."])
def test_the_root_stays(name):
    made = tree((REGULAR, "file"), (FOLDER, name), (REGULAR, name))
    assert found(made, "file") == "file"
    assert isinstance(made.find("")[1], Folder)


def test_the_later_of_two_counts():
    made = tree((REGULAR, "a"), (REGULAR, "./a"))
    assert found(made, "a") == "./a"
    assert [path for path, _ in made.files()] == ["a"]


def test_a_file_takes_the_place_of_a_folder_and_the_other_way_round():
    made = tree((REGULAR, "a/b"), (REGULAR, "a"), (FOLDER, "a"), (FOLDER, "a/c"), (FOLDER, "a"))
    assert found(made, "a/b") is None
    assert isinstance(found(made, "a/c"), Folder)
    assert made.folders() == ["a"]


def test_a_link_is_replaced_and_not_written_through():
    made = tree((REGULAR, "real"), (SYMLINK, "a", "real"), (REGULAR, "a"))
    assert (found(made, "real"), found(made, "a")) == ("real", "a")
    made = tree((FOLDER, "real"), (REGULAR, "real/x"), (SYMLINK, "a", "real"), (FOLDER, "a"))
    assert found(made, "a/x") is None


@pytest.mark.parametrize(
    ("target", "at"), [("real", "real/x"), ("/real", "real/x"), ("../../real", "real/x"), ("real/../real/.", "real/x")]
)
def test_a_folder_is_written_into_through_a_link_within_the_archive(target, at):
    made = tree((FOLDER, "real"), (SYMLINK, "a", target), (REGULAR, "a/x"), (REGULAR, "a/new/y"))
    assert found(made, at) == found(made, "a/x") == "a/x"
    assert found(made, "real/new/y") == "a/new/y"


def test_what_could_not_be_unpacked():
    assert unpacking((SYMLINK, "out", "/tmp"), (REGULAR, "out/x")) == "open /out/x: no such file or directory"
    assert unpacking((SYMLINK, "out", "/tmp"), (FOLDER, "out/x/y")) == "mkdir /out: file exists"
    assert unpacking((REGULAR, "a"), (REGULAR, "a/b")) == "open /a/b: not a directory"
    assert unpacking((REGULAR, "a"), (REGULAR, "a/b/c")) == "open /a/b/c: not a directory"
    assert unpacking((REGULAR, "a"), (SYMLINK, "l", "a"), (REGULAR, "l/b")) == "open /l/b: not a directory"
    assert unpacking((SYMLINK, "a", "a"), (REGULAR, "a/b")) == "open /a/b: too many levels of symbolic links"
    assert unpacking((SYMLINK, "a", "")) == "symlink  /a: no such file or directory"
    assert unpacking((b"7", "a")) == "unhandled tar header type 55"
    assert unpacking((b"S", "a")) == "unhandled tar header type 83"
    assert unpacking((REGULAR, "n" * 256)) == f"open /{'n' * 254}...: file name too long"
    assert unpacking((REGULAR, "é" * 128)).endswith("file name too long")
    assert unpacking((FOLDER, "n/" * 2100)).endswith("file name too long")
    assert unpacking((SYMLINK, "a", "t" * 4096)).endswith("file name too long")


def test_the_longest_names():
    tree((REGULAR, "n" * 255), (REGULAR, "é" * 127), (SYMLINK, "a", "t" * 4095), (FOLDER, "n/" * 2047))


def test_hard_links():
    made = tree((REGULAR, "a/file"), (LINK, "b", "a/file"), (LINK, "c", "../b"), (REGULAR, "a/file"))
    assert found(made, "b") == found(made, "c") == "a/file"
    assert made.find("b")[1] is made.find("c")[1] is not made.find("a/file")[1]
    made = tree((REGULAR, "a"), (SYMLINK, "s", "a"), (LINK, "b", "s"), (REGULAR, "a/../s"))
    assert found(made, "b") == "a"  # the link to a link is one too
    assert isinstance(tree((DEVICE, "d"), (LINK, "b", "d")).find("b")[1], Special)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("missing", "link /missing /l: no such file or directory"),
        ("later", "link /later /l: no such file or directory"),
        ("/etc/passwd", "link /etc/passwd /l: no such file or directory"),
        ("../../etc/passwd", "link /etc/passwd /l: no such file or directory"),
        ("folder", "link /folder /l: operation not permitted"),
        ("", "link / /l: operation not permitted"),
        ("l", "link /l /l: no such file or directory"),
        ("file/x", "link /file/x /l: not a directory"),
        ("loop/x", "link /loop/x /l: too many levels of symbolic links"),
    ],
)
def test_hard_links_that_lead_nowhere(target, said):
    before = [(FOLDER, "folder"), (REGULAR, "file"), (REGULAR, "l"), (SYMLINK, "loop", "loop")]
    assert unpacking(*before, (LINK, "l", target), (REGULAR, "later")) == said


@pytest.mark.parametrize("kind", [DEVICE, b"4", FIFO])
def test_devices_and_pipes_are_nothing_to_read(kind):
    assert isinstance(tree((kind, "d")).find("d")[1], Special)
    assert list(tree((kind, "d")).files()) == []


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("a/file", "a/file"),
        ("/a/file", "a/file"),
        ("./a//file", "a/file"),
        ("x/../a/file", "a/file"),
        ("link", "a/file"),
        ("up/up/up/link", "a/file"),
        ("absolute", "a/file"),
        ("out", "etc/passwd"),
        ("a/missing/x", "a/missing/x"),
        ("", ""),
    ],
)
def test_names_in_documents(path, at):
    made = tree(
        (REGULAR, "a/file"),
        (SYMLINK, "link", "a/file"),
        (SYMLINK, "up", ".."),
        (SYMLINK, "absolute", "/a/file"),
        (SYMLINK, "out", "../../etc/passwd"),
    )
    assert made.find(path)[0] == at
    assert found(made, at) == found(made, path)


def test_names_in_documents_that_lead_nowhere():
    made = tree((REGULAR, "a"), (SYMLINK, "loop", "loop"), (SYMLINK, "long", "x/../" * 200 + "loop"))
    for path, said in {
        "../x": "evalSymlinksInScope: ../x is not in the archive",
        "a/../../x": "evalSymlinksInScope: ../x is not in the archive",
        "a/b": "lstat a/b: not a directory",
        "loop": "evalSymlinksInScope: too many links in loop",
        "long": "evalSymlinksInScope: too many links in long",
        "a/" * 5000 + "b": "lstat a/a: not a directory",
        "b/" * 5000: f"evalSymlinksInScope: too many links in {'b/' * 127}b...",
        "b/" + "n" * 256: f"lstat b/{'n' * 253}...: file name too long",
        "b/\0/c": "lstat b/\0: invalid argument",
    }.items():
        with pytest.raises(InvalidArchiveError) as caught:
            made.find(path)
        assert (caught.value.reason, str(caught.value)) == ("unsafe-path", said)


def test_links_that_multiply_end_soon():
    """Each is twice the one before: followed to its end, the last would take 2**50 steps."""
    links = [(SYMLINK, f"l{n}", f"l{n - 1}/../l{n - 1}") for n in range(1, 50)]
    made = tree((FOLDER, "l0"), *links)
    with pytest.raises(InvalidArchiveError, match="too many links"):
        made.find("l49")
    with pytest.raises(InvalidArchiveError, match="too many levels"):
        made.add(Member(REGULAR, "l49/x", "", 1, False), Named("x"))


@pytest.mark.parametrize(
    "members",
    [
        [(REGULAR, f"f{n}") for n in range(11)],
        [(REGULAR, "same")] * 11,
        [(FOLDER, "same")] * 11,
        [(FOLDER, ".")] * 11,
        [(REGULAR, "/".join("abcdefghijk"))],
        [(SYMLINK, "a", "t" * 4000), (SYMLINK, "b", "t" * 4000)],
        [(REGULAR, "x/../" * 2000)],
    ],
)
def test_entries_are_limited(members):
    with pytest.raises(ArchiveLimitError) as caught:
        tree(*members, limits=Limits(entries=10))
    assert caught.value.limit == "entries"
    assert "entries=10" in str(caught.value)


names = st.lists(st.sampled_from(["a", "b", "c", "..", ".", ""]), min_size=1, max_size=5).map("/".join)
members = st.lists(
    st.tuples(st.sampled_from([REGULAR, FOLDER, SYMLINK, LINK, FIFO]), names, names), min_size=1, max_size=10
)


@given(members, names)
def test_whatever_is_in_it_names_end_or_are_refused(members, path):
    made = Tree(LIMITS)
    with suppress(InvalidArchiveError):
        for kind, name, target in members:
            made.add(Member(kind, name, target, 1, False), Named(name) if kind == REGULAR else None)
    files = dict(made.files())
    assert all(made.find(each)[1] is file for each, file in files.items())
    with suppress(InvalidArchiveError):
        at, node = made.find(path)
        assert ".." not in at.split("/")
        assert made.find(at) == (at, node)
        assert not isinstance(node, File) or files[at] is node
