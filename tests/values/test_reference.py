from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagestore.digest import Digest
from imagestore.errors import InvalidDigestError, InvalidReferenceError
from imagestore.reference import Reference

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA384 = "sha384:" + "0123456789abcdef" * 6
SHA512 = "sha512:" + "0123456789abcdef" * 8
HEX = "0123456789abcdef" * 4

FORMAT = "invalid reference format"
LOWERCASE = "invalid reference format: repository name must be lowercase"
TOO_LONG = "repository name must not be more than 255 characters"


def identifier(text):
    return f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"


def outcome(text):
    """What a text stands for, or the error."""
    try:
        return Reference.parse(text)
    except InvalidReferenceError as error:
        return error


def parts(reference):
    return reference.domain, reference.path, reference.tag, reference.digest


ACCEPTED = {
    # where the domain comes from
    "a name alone": ("app", ("docker.io", "library/app", None, None), "app"),
    "a user's name": ("user/app", ("docker.io", "user/app", None, None), "user/app"),
    "deeper": ("a/b/c/d", ("docker.io", "a/b/c/d", None, None), "a/b/c/d"),
    "library spelled out": ("library/app", ("docker.io", "library/app", None, None), "app"),
    "library is no shorthand for two": ("library/a/b", ("docker.io", "library/a/b", None, None), "library/a/b"),
    "library elsewhere": ("reg.test/library/app", ("reg.test", "library/app", None, None), "reg.test/library/app"),
    "the name library": ("library", ("docker.io", "library/library", None, None), "library"),
    "docker.io spelled out": ("docker.io/library/app:1", ("docker.io", "library/app", "1", None), "app:1"),
    "docker.io, library left out": ("docker.io/app:1", ("docker.io", "library/app", "1", None), "app:1"),
    "the old index": ("index.docker.io/app:1", ("docker.io", "library/app", "1", None), "app:1"),
    "the old index, a user": ("index.docker.io/user/app", ("docker.io", "user/app", None, None), "user/app"),
    "the index with a port is another host": (
        "index.docker.io:443/app",
        ("index.docker.io:443", "app", None, None),
        "index.docker.io:443/app",
    ),
    "docker.io with a capital is another host": ("Docker.io/app", ("Docker.io", "app", None, None), "Docker.io/app"),
    "a host without a path is a name": ("reg.test", ("docker.io", "library/reg.test", None, None), "reg.test"),
    "a port without a path is a tag": (
        "reg.test:5000",
        ("docker.io", "library/reg.test", "5000", None),
        "reg.test:5000",
    ),
    "localhost": ("localhost/app", ("localhost", "app", None, None), "localhost/app"),
    "localhost and port": ("localhost:5000/app:1", ("localhost:5000", "app", "1", None), "localhost:5000/app:1"),
    "localhost alone is a name": ("localhost", ("docker.io", "library/localhost", None, None), "localhost"),
    "a host without a dot is a user": ("registry/app", ("docker.io", "registry/app", None, None), "registry/app"),
    "but with a port it is a host": ("registry:5000/app", ("registry:5000", "app", None, None), "registry:5000/app"),
    "no DNS name is too odd": ("1.2--3.a:0/app", ("1.2--3.a:0", "app", None, None), "1.2--3.a:0/app"),
    "an IPv4 host": ("127.0.0.1:5000/a/b", ("127.0.0.1:5000", "a/b", None, None), "127.0.0.1:5000/a/b"),
    "a port of any size": ("r:99999999/app", ("r:99999999", "app", None, None), "r:99999999/app"),
    "a host in capitals": ("REG.Test:5000/app", ("REG.Test:5000", "app", None, None), "REG.Test:5000/app"),
    "what can be no host is a component": ("a_b.test/app", ("", "a_b.test/app", None, None), "a_b.test/app"),
    # components
    "one character": ("a", ("docker.io", "library/a", None, None), "a"),
    "digits": ("1/2", ("docker.io", "1/2", None, None), "1/2"),
    "a dot": ("u/a.b.c", ("docker.io", "u/a.b.c", None, None), "u/a.b.c"),
    "an underscore": ("a_b", ("docker.io", "library/a_b", None, None), "a_b"),
    "two underscores": ("a__b", ("docker.io", "library/a__b", None, None), "a__b"),
    "dashes": ("a-b---c", ("docker.io", "library/a-b---c", None, None), "a-b---c"),
    # tags
    "a tag": ("app:1", ("docker.io", "library/app", "1", None), "app:1"),
    "a tag in capitals": ("app:Latest-RC.1", ("docker.io", "library/app", "Latest-RC.1", None), "app:Latest-RC.1"),
    "a tag begins with an underscore": ("app:_.-", ("docker.io", "library/app", "_.-", None), "app:_.-"),
    "a tag of 128 characters": (
        "app:" + "t" * 128,
        ("docker.io", "library/app", "t" * 128, None),
        "app:" + "t" * 128,
    ),
    # digests
    "sha256": (f"app@{SHA256}", ("docker.io", "library/app", None, SHA256), f"app@{SHA256}"),
    "sha384": (f"app@{SHA384}", ("docker.io", "library/app", None, SHA384), f"app@{SHA384}"),
    "sha512": (f"r.test/app@{SHA512}", ("r.test", "app", None, SHA512), f"r.test/app@{SHA512}"),
    "tag and digest": (f"app:1@{SHA256}", ("docker.io", "library/app", "1", SHA256), f"app:1@{SHA256}"),
    # 64 digits
    "an ID with a tag": (f"{HEX}:1", ("docker.io", f"library/{HEX}", "1", None), f"{HEX}:1"),
    "an ID below a user": (f"u/{HEX}", ("docker.io", f"u/{HEX}", None, None), f"u/{HEX}"),
    "63 digits": (HEX[1:], ("docker.io", f"library/{HEX[1:]}", None, None), HEX[1:]),
    "65 digits": (HEX + "0", ("docker.io", f"library/{HEX}0", None, None), HEX + "0"),
    "64 letters": ("g" * 64, ("docker.io", "library/" + "g" * 64, None, None), "g" * 64),
    # length
    "255 characters, completed": ("a" * 237, ("docker.io", "library/" + "a" * 237, None, None), "a" * 237),
    "255 characters, a host among them": (
        "r.test/" + "a" * 248,
        ("r.test", "a" * 248, None, None),
        "r.test/" + "a" * 248,
    ),
    "255 characters and a tag": (
        "r.test/" + "a" * 248 + ":" + "t" * 128,
        ("r.test", "a" * 248, "t" * 128, None),
        "r.test/" + "a" * 248 + ":" + "t" * 128,
    ),
}

REFUSED = {
    # names
    "empty": ("", FORMAT),
    "a tag alone": (":1", FORMAT),
    "a digest alone, shorter than one": ("@sha256:00", FORMAT),
    "a digest without a name": (f"@{SHA256}", FORMAT),
    "a slash in front": ("/app:1", FORMAT),
    "a slash behind": ("app/", FORMAT),
    "two slashes": ("a//b", FORMAT),
    "a host alone, with a slash": ("reg.test/", FORMAT),
    "docker.io alone, with a slash": ("docker.io/", FORMAT),
    "a URL": ("https://reg.test/app", FORMAT),
    "a space": ("a b:1", FORMAT),
    "a space in front": (" app", FORMAT),
    "a newline behind": ("app\n", FORMAT),
    "a newline behind a tag": ("app:1\n", FORMAT),
    "a NUL": ("app\0", FORMAT),
    "a letter that is none of a to z": ("äpp", FORMAT),
    "a digit that is none of 0 to 9": ("app/\u0663", FORMAT),
    "half of a surrogate pair": ("a\udcffb", FORMAT),
    "a dot in front": ("u/.app", FORMAT),
    "a dot behind": ("u/app.", FORMAT),
    "two dots": ("u/a..b", FORMAT),
    "an underscore in front": ("_app", FORMAT),
    "an underscore behind": ("app_", FORMAT),
    "three underscores": ("a___b", FORMAT),
    "a dash in front": ("-app", FORMAT),
    "a dash behind": ("app-", FORMAT),
    "two kinds of separators": ("a_-b", FORMAT),
    "a separator alone": ("u/-/app", FORMAT),
    "a way out": ("../app", FORMAT),
    "a wildcard": ("app*", FORMAT),
    # hosts
    "a label that begins with a dash": ("-reg.test/app", FORMAT),
    "a label that ends with a dash": ("reg-.test/app", FORMAT),
    "an empty label": ("reg..test/app", FORMAT),
    "a host that ends with a dot": ("reg.test./app", FORMAT),
    "a port without digits": ("reg.test:/app", FORMAT),
    "a port of letters": ("reg.test:http/app", FORMAT),
    "two ports": ("reg.test:1:2/app", FORMAT),
    "a port without a host": (":5000/app", FORMAT),
    "a port in the middle": ("a/b:5000/app", FORMAT),
    "an IPv6 host": ("[::1]:5000/app", FORMAT),
    "a user before the host": ("me@reg.test/app", FORMAT),
    # capitals
    "a capital": ("App:1", LOWERCASE),
    "capitals alone": ("UPPER", LOWERCASE),
    "a capital in the path": ("reg.test/a/B/c", LOWERCASE),
    "a capital in what is no host": ("User/app", LOWERCASE),
    "a capital beside localhost": ("Localhost/app", LOWERCASE),
    "a capital that is none of A to Z": ("Äpp", LOWERCASE),
    "a capital in the algorithm, no tag before it": (f"app@SHA256:{HEX}", LOWERCASE),
    "a capital in what looks like a host": ("A_b.test/app", "repository name must be lowercase"),
    # IDs
    "64 digits": (HEX, identifier(HEX)),
    "64 zeros": ("0" * 64, identifier("0" * 64)),
    "64 digits in capitals": (HEX.upper(), LOWERCASE),
    "64 digits and a newline": (HEX + "\n", FORMAT),
    # tags
    "an empty tag": ("app:", FORMAT),
    "an empty tag before a digest": (f"app:@{SHA256}", FORMAT),
    "a tag that begins with a dot": ("app:.1", FORMAT),
    "a tag that begins with a dash": ("app:-1", FORMAT),
    "a tag with a plus": ("app:1+2", FORMAT),
    "a tag with a slash": ("app:t/2", FORMAT),
    "two tags": ("app:1:2", FORMAT),
    "a tag of letters that are none of a to z": ("app:ä", FORMAT),
    "a tag of 129 characters": ("app:" + "t" * 129, FORMAT),
    # digests
    "an empty digest": ("app@", FORMAT),
    "no algorithm": (f"app@{HEX}", FORMAT),
    "an empty algorithm": (f"app@:{HEX}", FORMAT),
    "no digits": ("app@sha256:", FORMAT),
    "31 digits": ("app@sha256:" + "0" * 31, FORMAT),
    "letters that are no digits": ("app@sha256:" + "g" * 64, FORMAT),
    "an algorithm that begins with a digit": (f"app@256sha:{HEX}", FORMAT),
    "a part of an algorithm that begins with a digit": (f"app@sha+256:{HEX}", FORMAT),
    "two separators in an algorithm": (f"app@a+-b:{HEX}", FORMAT),
    "a separator that is none": (f"app@a~b:{HEX}", FORMAT),
    "an algorithm that ends with a separator": (f"app@sha256+:{HEX}", FORMAT),
    "two digests": (f"app@{SHA256}@{SHA256}", FORMAT),
    "a tag behind the digest": (f"app@{SHA256}:1", FORMAT),
    "a slash behind the digest": (f"app@{SHA256}/a", FORMAT),
    "sha256 too short": ("app@sha256:" + "0" * 63, "invalid checksum digest length"),
    "sha256 too long": (f"app@{SHA256}0", "invalid checksum digest length"),
    "sha384 with the length of another": (f"app@sha384:{HEX}", "invalid checksum digest length"),
    "sha512 with the length of another": (f"app@sha512:{HEX}", "invalid checksum digest length"),
    "wrong length and capitals": ("app@sha256:" + "A" * 63, "invalid checksum digest length"),
    "digits in capitals": ("app@sha256:" + "A" * 64, "invalid checksum digest format"),
    "an algorithm in capitals": (f"app:1@SHA256:{HEX}", "invalid checksum digest format"),
    "an algorithm that nobody knows": ("app@md5:" + "0" * 32, "unsupported digest algorithm"),
    "an algorithm of all separators": (f"app@a+b.c_d-e:{HEX}", "unsupported digest algorithm"),
    # length
    "256 characters, completed": ("a" * 238, TOO_LONG),
    "256 characters, a host among them": ("r.test/" + "a" * 249, TOO_LONG),
    "a long name before a wrong digest": ("a" * 256 + "@md5:" + "0" * 32, TOO_LONG),
    "a long name of a wrong form": ("a" * 256 + "_", FORMAT),
}


@pytest.mark.parametrize(("text", "expected", "familiar"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(text, expected, familiar):
    reference = Reference.parse(text)
    assert parts(reference) == expected
    assert reference.familiar == familiar
    assert Reference.parse(familiar) == Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(text, reason):
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse(text)
    assert (caught.value.text, caught.value.reason) == (text, reason)
    assert str(caught.value).endswith(f" is not a valid repository/tag: {reason}")


@pytest.mark.parametrize("value", [None, 1, b"app", ["app"]])
def test_what_is_no_text(value):
    for call in (Reference.parse, Reference.parse("app").with_tag):
        with pytest.raises(InvalidReferenceError, match="expected a str"):
            call(value)
    with pytest.raises(InvalidDigestError, match="expected a str"):
        Reference.parse("app").with_digest(value)


def test_the_message_shows_the_value_in_bounds():
    with pytest.raises(InvalidReferenceError, match=r"^'a b' is not a valid repository/tag: invalid reference format$"):
        Reference.parse("a b")
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse("app@" + "a+" * 100_000 + f"a:{HEX}")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "tag", "answer"),
    [
        # What a real daemon said when it loaded an archive with this tag: what is loaded, or the error.
        ("localhost:5000/app:1", "1", "localhost:5000/app:1"),
        ("docker.io/library/app:1", "1", "app:1"),
        ("index.docker.io/app:1", "1", "app:1"),
        ("app", None, "app"),
        (f"app@sha256:{'0' * 64}", None, f"app@sha256:{'0' * 64}"),
        ("App:1", None, LOWERCASE),
        ("a b:1", None, FORMAT),
        ("0" * 64, None, identifier("0" * 64)),
        ("", None, FORMAT),
        ("a" * 300 + ":1", None, TOO_LONG),
        ("/app:1", None, FORMAT),
        ("app:", None, FORMAT),
    ],
    ids=["port", "docker-io", "index", "notag", "digest", "upper", "space", "id", "empty", "long", "slash", "colon"],
)
def test_tags_of_archives(text, tag, answer):
    """The daemon takes tagged names only: "app" and a digest are read, and then are an invalid tag."""
    found = outcome(text)
    if isinstance(found, Reference):
        assert (found.tag, found.familiar) == (tag, answer)
    else:
        assert found.reason == answer


def test_names():
    reference = Reference.parse(f"index.docker.io/app:1@{SHA256}")
    assert reference.name == "docker.io/library/app"
    assert reference.familiar_name == "app"
    assert str(reference) == f"docker.io/library/app:1@{SHA256}"
    assert repr(reference) == f"Reference.parse('docker.io/library/app:1@{SHA256}')"
    assert type(reference.digest) is Digest


def test_a_name_alone_is_tagged_latest():
    assert str(Reference.parse("app").tagged) == "docker.io/library/app:latest"
    for text in ("app:1", f"app@{SHA256}", f"app:1@{SHA256}"):
        reference = Reference.parse(text)
        assert not reference.is_name_only
        assert reference.tagged == reference
    assert Reference.parse("app").is_name_only


def test_with_tag_and_with_digest_keep_the_other():
    name = Reference.parse("app")
    both = Reference.parse(f"app:1@{SHA256}")
    assert name.with_tag("1").with_digest(SHA256) == name.with_digest(SHA256).with_tag("1") == both
    assert both.with_tag("2") == Reference.parse(f"app:2@{SHA256}")
    assert both.with_digest(SHA512) == Reference.parse(f"app:1@{SHA512}")
    assert type(name.with_digest(SHA256).digest) is Digest
    assert str(name) == "docker.io/library/app"


@pytest.mark.parametrize("tag", ["", ".1", "-1", "a b", "1\n", "ä", "a:b", "a/b", "a@b", "t" * 129])
def test_with_a_tag_that_is_none(tag):
    with pytest.raises(InvalidReferenceError, match="invalid tag format") as caught:
        Reference.parse("app").with_tag(tag)
    assert caught.value.text == tag


@pytest.mark.parametrize("digest", ["", HEX, "md5:" + "0" * 32, SHA256.upper(), SHA256 + "\n", SHA256[:-1]])
def test_with_a_digest_that_is_none(digest):
    with pytest.raises(InvalidDigestError):
        Reference.parse("app").with_digest(digest)


def test_a_reference_is_a_value():
    reference = Reference.parse(f"app:1@{SHA256}")
    same = Reference.parse(f"docker.io/library/app:1@{SHA256}")
    assert {reference: 1}[same] == 1
    assert pickle.loads(pickle.dumps(reference)) == copy.deepcopy(reference) == reference
    assert len({reference, reference.with_tag("2"), Reference.parse("app"), Reference.parse("app:1")}) == 4
    for name in ("domain", "path", "tag", "digest"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(reference, name, "x")


@pytest.mark.parametrize(
    "text", [f"docker.io/{HEX}", "docker.io/localhost/app", "docker.io/a.test/app", "docker.io/index.docker.io/app"]
)
def test_familiar_forms_that_mean_something_else(text):
    """They are docker's; only the full form always comes back."""
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference
    assert outcome(reference.familiar) != reference


def separated(words, separators, least, most):
    """Words with separators between them."""
    return st.lists(st.tuples(separators, words), min_size=least, max_size=most).map(
        lambda pairs: "".join(itertools.chain.from_iterable(pairs))[len(pairs[0][0]) :]
    )


COMPONENTS = separated(st.text("az09", min_size=1, max_size=3), st.sampled_from([".", "_", "__", "-", "---"]), 1, 3)
PATHS = separated(COMPONENTS, st.just("/"), 1, 3)
LABELS = separated(st.text("aZ09", min_size=1, max_size=3), st.sampled_from(["-", "--"]), 1, 2)
DOMAINS = (
    st.sampled_from(["docker.io", "index.docker.io", "localhost"])
    | separated(LABELS, st.just("."), 2, 3)
    | st.builds("{}:{}".format, separated(LABELS, st.just("."), 1, 2), st.integers(0, 65535))
)
TAGS = st.from_regex(re.compile(r"\w[\w.-]{0,127}", re.ASCII), fullmatch=True)
DIGESTS = st.sampled_from([SHA256, SHA384, SHA512])


def means_a_domain(path):
    return "/" in path and "." in path.partition("/")[0]


@st.composite
def references(draw):
    """A text, and the parts that it stands for."""
    domain = draw(st.none() | DOMAINS)
    path = draw(PATHS if domain else PATHS.filter(lambda path: not means_a_domain(path)))
    tag, digest = draw(st.none() | TAGS), draw(st.none() | DIGESTS)
    text = "".join([f"{domain}/" if domain else "", path, f":{tag}" if tag else "", f"@{digest}" if digest else ""])
    if domain in {None, "index.docker.io"}:
        domain = "docker.io"
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return text, (domain, path, tag, digest)


@settings(max_examples=300)
@given(references())
def test_whatever_the_grammar_makes_is_accepted(case):
    text, expected = case
    reference = Reference.parse(text)
    assert parts(reference) == expected
    assert Reference.parse(str(reference)) == reference
    if not (reference.domain == "docker.io" and means_a_domain(reference.familiar_name)):
        assert Reference.parse(reference.familiar) == reference


def is_component(text):
    runs = ["".join(run) for _, run in itertools.groupby(text, str.isalnum)]
    return bool(text) and all(
        run == run.lower()
        if run[0].isalnum()
        else 0 < i < len(runs) - 1 and (run in {".", "_", "__"} or set(run) == {"-"})
        for i, run in enumerate(runs)
    )


def is_domain(text):
    host, colon, port = text.partition(":")
    labels = host.split(".")
    return (port.isdigit() or not colon) and all(
        label and set(label) <= set("aB0-") and label[0] != "-" and label[-1] != "-" for label in labels
    )


def is_reference(text):
    """The rules once more, without a regular expression; for texts without a digest."""
    domain, slash, rest = text.partition("/")
    if not slash or not ("." in domain or ":" in domain):
        domain, rest = "docker.io", text
    path, colon, tag = rest.partition(":")
    return (
        (is_component(domain) or is_domain(domain) or domain == "docker.io")
        and all(map(is_component, path.split("/")))
        and (not colon or (bool(tag) and tag[0] not in ".-" and set(tag) <= set("aB0_.-")))
    )


@settings(max_examples=1500)
@given(st.text("aB0-_./:@ ", max_size=12) | st.text("a0-_./:", max_size=10))
def test_the_rules_read_twice_agree(text):
    assert isinstance(outcome(text), Reference) == is_reference(text)


@st.composite
def mutated(draw):
    """A reference with something cut out, put in or repeated."""
    text, _ = draw(references())
    start, end = sorted([draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))])
    return text[:start] + draw(st.text(max_size=3) | st.just(text[start:end] * 2)) + text[end:]


@settings(max_examples=500)
@given(mutated() | st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_garbage_is_refused_or_means_one_thing(text):
    found = outcome(text)
    if isinstance(found, Reference):
        assert Reference.parse(str(found)) == found
        assert len(found.name) <= 255
    else:
        assert found.text == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            unit * (1_000_000 // len(unit))
            for unit in ["a", "a/", "a-", "a_", "a__", "a.", "a-b.", "A.", "-", "_", "/"]
        ),
        *(unit * (1_000_000 // len(unit)) for unit in [":", "@", "a:", "a@", "\0", " ", "İ", "\udcff"]),
        "a" * 1_000_000 + "!",
        "a" + "-" * 1_000_000,
        "a." * 500_000 + "a/!",
        "a." * 500_000 + "a/" + "a-b_c/" * 100_000 + "!",
        "r:" + "1" * 1_000_000 + "/a!",
        "a:" + "t" * 1_000_000,
        "a@sha256:" + "0" * 1_000_000,
        "a@sha256:" + "0" * 1_000_000 + "!",
        "a@" + "a+" * 500_000 + "a:" + HEX,
        "a@" + "a+" * 500_000 + "a:" + HEX + "!",
        "a@" + "a" * 1_000_000 + ":!",
    ],
    ids=lambda text: f"{text[:4]!a}-{text[-4:]!a}",
)
def test_long_and_hostile(text):
    """More than linear time, a million times over, would not end."""
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse(text)
    assert len(str(caught.value)) < 300


# Patterns: what docker's `images NAME` matches (distribution's FamiliarMatch, Go's path.Match)


@pytest.mark.parametrize(
    ("pattern", "matched", "unmatched"),
    [
        ("app", ["app", "app:1", f"app@sha256:{HEX}"], ["apps", "team/app", "host.test/app"]),
        ("app:1", ["app:1"], ["app", "app:12"]),
        ("team/app:1", ["team/app:1"], ["app:1"]),
        ("host.test:5000/a/b", ["host.test:5000/a/b:1"], ["a/b:1"]),
        ("docker.io/library/app", [], ["app:1"]),
        ("*", ["app", "app:1"], ["team/app"]),
        ("*/*", ["team/app:1"], ["app", "a/b/c"]),
        ("app*", ["app", "apps:2"], ["app/x"]),
        ("**app", ["app"], ["b/app"]),
        ("*a*b", ["abab", "xaxb"], ["aba"]),
        ("a*:*", ["app:1"], ["team/app:1", "b:1"]),
        ("a?p", ["app"], ["ap", "appp"]),
        ("?:1", ["a:1"], ["ab:1"]),
        ("a/?/c", ["a/b/c"], ["a/bb/c"]),
        ("a[b-d]e", ["ace"], ["aae", "abce"]),
        ("a[b-dx]e", ["axe"], ["aye"]),
        ("a[^b-d]e", ["axe"], ["ace"]),
        ("a[^b]c", ["a/c"], ["abc"]),
        ("a[d-b]e", [], ["ace"]),
        ("a[^d-b]e", ["ace"], ["ae"]),
        ("a[\\b\\-]c", ["abc", "a-c"], ["adc"]),
        ("a[b^]c", ["abc"], ["adc"]),
        ("\\a\\p\\p", ["app"], ["apq"]),
        ("app[:]1", ["app:1"], ["app"]),
        ("a.b", ["a.b"], ["axb"]),
        ("a+", [], ["a", "aa"]),
        ("", [], ["app"]),
    ],
)
def test_a_pattern(pattern, matched, unmatched):
    assert [text for text in matched if not Reference.parse(text).familiar_match(pattern)] == []
    assert [text for text in unmatched if Reference.parse(text).familiar_match(pattern)] == []


@pytest.mark.parametrize(
    "pattern", ["[", "a[", "[]", "[]a]", "[^]", "[a", "[a-", "[a-]", "[-a]", "[a-b-c]", "\\", "a\\", "[\\"]
)
def test_a_malformed_pattern(pattern):
    with pytest.raises(InvalidReferenceError) as caught:
        Reference.parse("app").familiar_match(pattern)
    assert caught.value.reason == "syntax error in pattern"


@pytest.mark.parametrize(
    "pattern", ["*a" * 2000 + "b", "*" * 4000, "[" * 4000, "[a" * 2000, "?" * 4000, "*[^/]" * 800, "a*" * 2000 + "/"]
)
def test_a_hostile_pattern(pattern):
    name = Reference.parse("a" * 200)
    try:
        assert name.familiar_match(pattern) == (set(pattern) == {"*"})
    except InvalidReferenceError:
        assert pattern.startswith("[")


def test_a_pattern_without_measure():
    with pytest.raises(InvalidReferenceError, match="at most 4096 characters"):
        Reference.parse("app").familiar_match("a" * 5000)
