"""Names of images as docker's users write them, and what they stand for.

A text is completed, then held against one grammar:

    reference   name [":" tag] ["@" digest]
    name        [domain "/"] path                  255 characters at most
    domain      label ["." label]* [":" digits]    a label: letters, digits, and dashes between them
    path        component ["/" component]*         a component: a-z, 0-9, and between them ".", "_", "__" or dashes
    tag         [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
    digest      algorithm ":" hex                  see `imagestore.digest.Digest`

What stands before the first "/" is the domain if it has a "." or ":" or is "localhost"; else the domain is docker.io, which is
also what index.docker.io means, and a name of one component there is below "library/": ``app`` is docker.io/library/app.

Source: distribution's package ``reference`` as docker 20.10 has it. Later versions also take IPv6 hosts, hosts that differ from
a component by a capital alone, and 255 characters beside the domain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Self

from imagestore.digest import _HEX_LENGTHS, Digest
from imagestore.errors import InvalidReferenceError

DEFAULT_DOMAIN: Final = "docker.io"
"""The domain of names that have none."""

DEFAULT_TAG: Final = "latest"
"""The tag that a name alone stands for."""

NAME_TOTAL_LENGTH_MAX: Final = 255
"""How many characters a name has at most, its domain included (distribution's ``NameTotalLengthMax``)."""

_LEGACY_DEFAULT_DOMAIN: Final = "index.docker.io"
_OFFICIAL: Final = "library/"

# Each can match a text in one way only, so that no input makes the time grow faster than its length.
_LABEL: Final = "[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*"
_COMPONENT: Final = "[a-z0-9]++(?:(?:[.]|__?|-++)[a-z0-9]++)*"
_TAG: Final = r"\w[\w.-]{0,127}"
_ALGORITHM: Final = "[A-Za-z][A-Za-z0-9]*+(?:[-_+.][A-Za-z][A-Za-z0-9]*+)*"
_REFERENCE: Final = re.compile(
    rf"(?:({_LABEL}(?:[.]{_LABEL})*(?::[0-9]++)?)/)?({_COMPONENT}(?:/{_COMPONENT})*)"
    rf"(?::({_TAG}))?(?:@({_ALGORITHM}:[0-9A-Fa-f]{{32,}}+))?",
    re.ASCII,
)
_ANCHORED_TAG: Final = re.compile(_TAG, re.ASCII)
_IDENTIFIER: Final = re.compile("[0-9a-f]{64}")

_LONGEST_PATTERN: Final = 4096  # a name has some 500

# What a pattern of Go's path.Match consists of.
_CHARACTER: Final = r"(?:\\.|[^\\\]-])"
_RANGE: Final = re.compile(rf"({_CHARACTER})(?:-({_CHARACTER}))?", re.DOTALL)
_PART: Final = re.compile(
    rf"\[(?P<negated>\^)?+(?P<ranges>(?:{_CHARACTER}(?:-{_CHARACTER})?)+)\]|\\.|[^\[\\]", re.DOTALL
)


@dataclass(frozen=True, slots=True, repr=False)
class Reference:
    """A repository's full name, with a tag, a digest, both or neither.

    `parse` reads and checks a text. The constructor takes the parts as they stand, for what was checked before.

    Args:
        domain: the registry's host, with its port; "docker.io" for names without one. Empty where the grammar reads what stands
            before the first "/" as a component of the path, ``a_b.test`` in ``a_b.test/app``.
        path: the repository within the domain, "library/app".
        tag: None without one.
        digest: None without one.

    Source: distribution's ``reference.Named``, ``NamedTagged`` and ``Canonical``.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """What ``text``, a familiar or a full name, stands for. Costs as much as the text is long.

        Raises:
            InvalidReferenceError: it is no reference; ``reason`` has docker's words. 64 hexadecimal digits and nothing else are
                refused too: they are an ID.

        Source: distribution's ``ParseNormalizedNamed``.
        """
        if not isinstance(text, str):
            raise InvalidReferenceError(text, f"expected a str, not {type(text).__name__}")
        if _IDENTIFIER.fullmatch(text):
            raise InvalidReferenceError(
                text, f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )
        domain, remainder = _split_domain(text)
        remote_name = remainder.partition(":")[0]
        if remote_name.lower() != remote_name:
            raise InvalidReferenceError(text, "invalid reference format: repository name must be lowercase")
        full = f"{domain}/{remainder}"
        match = _REFERENCE.fullmatch(full)
        if match is None:
            with_capitals = _REFERENCE.fullmatch(full.lower())
            reason = "repository name must be lowercase" if with_capitals else "invalid reference format"
            raise InvalidReferenceError(text, reason)
        if match.end(2) > NAME_TOTAL_LENGTH_MAX:
            raise InvalidReferenceError(
                text, f"repository name must not be more than {NAME_TOTAL_LENGTH_MAX} characters"
            )
        found, path, tag, digest = match.groups()
        return cls(found or "", path, tag, None if digest is None else _parse_digest(text, digest))

    @property
    def name(self) -> str:
        """Domain and path: "docker.io/library/app"."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def familiar_name(self) -> str:
        """The name without "docker.io/", and without "library/" where one component follows: "app".

        Source: distribution's ``FamiliarName``.
        """
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        return self.path.removeprefix(_OFFICIAL) if self.path.count("/") == 1 else self.path

    @property
    def familiar(self) -> str:
        """The reference as docker shows it: "app:1".

        `parse` reads it as this reference again but where what is left looks like something else, as in docker: an ID (of
        docker.io/library/ and 64 hexadecimal digits), or a name with a domain (docker.io/localhost/app).

        Source: distribution's ``FamiliarString``.
        """
        return self.familiar_name + self._suffix

    @property
    def is_name_only(self) -> bool:
        """Whether there is neither a tag nor a digest (distribution's ``IsNameOnly``)."""
        return self.tag is None and self.digest is None

    @property
    def tagged(self) -> Self:
        """A name alone with the tag "latest"; what has a tag or a digest as it is (distribution's ``TagNameOnly``)."""
        return replace(self, tag=DEFAULT_TAG) if self.is_name_only else self

    def with_tag(self, tag: str) -> Self:
        """The same with this tag; a digest stays.

        Raises:
            InvalidReferenceError: no tag can be written so.

        Source: distribution's ``WithTag``.
        """
        if not isinstance(tag, str):
            raise InvalidReferenceError(tag, f"expected a str, not {type(tag).__name__}")
        if not _ANCHORED_TAG.fullmatch(tag):
            raise InvalidReferenceError(tag, "invalid tag format")
        return replace(self, tag=tag)

    def with_digest(self, digest: str) -> Self:
        """The same with this digest; a tag stays.

        Raises:
            InvalidDigestError: it is none.

        Source: distribution's ``WithDigest``.
        """
        return replace(self, digest=Digest(digest))

    def familiar_match(self, pattern: str) -> bool:
        r"""Whether a pattern matches the reference as docker shows it, or its familiar name alone.

        Args:
            pattern: "*" and "?" stand for any characters or one, but "/"; "[a-c]" and "[^a-c]" for one of those, or one of all others;
                "\" takes the special meaning from the next character.

        Raises:
            InvalidReferenceError: it is malformed.

        Source: distribution's ``FamiliarMatch``, Go's ``path.Match``.
        """
        compiled = _compile(pattern)
        return compiled.fullmatch(self.familiar) is not None or compiled.fullmatch(self.familiar_name) is not None

    @property
    def _suffix(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return tag if self.digest is None else f"{tag}@{self.digest}"

    def __str__(self) -> str:
        return self.name + self._suffix

    def __repr__(self) -> str:
        return f"Reference.parse({str(self)!r})"


def _split_domain(text: str) -> tuple[str, str]:
    """The domain that is written or meant, and what follows it (distribution's ``splitDockerDomain``)."""
    domain, slash, remainder = text.partition("/")
    if not slash or not ("." in domain or ":" in domain or domain == "localhost"):
        domain, remainder = DEFAULT_DOMAIN, text
    elif domain == _LEGACY_DEFAULT_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    return domain, remainder


def _parse_digest(text: str, digest: str) -> Digest:
    """The digest, which has the grammar's form, if it is one of an algorithm that is known (go-digest's ``Validate``)."""
    algorithm, _, digits = digest.partition(":")
    wanted = _HEX_LENGTHS.get(algorithm)
    if wanted is None and algorithm == algorithm.lower():
        raise InvalidReferenceError(text, "unsupported digest algorithm")
    if wanted is not None and len(digits) != wanted:
        raise InvalidReferenceError(text, "invalid checksum digest length")
    if wanted is None or digits != digits.lower():
        raise InvalidReferenceError(text, "invalid checksum digest format")
    return Digest.trusted(digest)


@lru_cache(maxsize=16)
def _compile(pattern: str) -> re.Pattern[str]:
    """A pattern of Go's ``path.Match`` as a regular expression.

    As in Go, what stands between two "*" matches at the first place where it can, and is not tried again further on.
    """
    if len(pattern) > _LONGEST_PATTERN:
        raise InvalidReferenceError(pattern, f"a pattern has at most {_LONGEST_PATTERN} characters")
    chunks = [""]
    at = 0
    while at < len(pattern):
        part = _PART.match(pattern, at)
        if part is None:
            raise InvalidReferenceError(pattern, "syntax error in pattern")
        at = part.end()
        if part[0] == "*":
            chunks.append("")
        elif part[0] == "?":
            chunks[-1] += "[^/]"
        elif part["ranges"] is None:
            chunks[-1] += re.escape(part[0][-1])
        else:
            chunks[-1] += _class(part["negated"] is not None, part["ranges"])
    first, *between = chunks
    last = f"[^/]*?{between.pop()}" if between else ""
    return re.compile(first + "".join(f"(?>[^/]*?{chunk})" for chunk in between) + last, re.DOTALL)


def _class(negated: bool, ranges: str) -> str:
    """A class of characters; a range that goes backwards has none, as in Go."""
    found = [(range_[1][-1], (range_[2] or range_[1])[-1]) for range_ in _RANGE.finditer(ranges)]
    members = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in found if low <= high)
    if not members:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{members}]"
