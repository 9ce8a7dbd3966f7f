"""Inputs that are nearly right: bytes, tars and JSON, spoilt here and there by a source of chances that Hypothesis can shrink."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from typing import Any

BLOCK = 512
_ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**31, 2**62, 2**63, 10**400, "", "\0", "..", "../x", "/", "é", "\ud800", "x" * 300, [], {}, [None], {"": ""},
    "sha256:", "sha256:" + "0" * 64, "sha512:" + "0" * 128, "blake3:00", "manifest.json", "index.json", "linux", "windows", "2",
    "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:60+23:59", "app:1", "APP:1",
)  # fmt: skip
_NAMES = (
    b"manifest.json", b"index.json", b"oci-layout", b"repositories", b"..", b"../x", b"/x", b"./x", b"x", b"", b"a/" * 60, b"blobs",
    b"blobs/sha256", b"\xff", b"manifest.json/x",
)  # fmt: skip
_KINDS = b"0\x001234567gxLKS"
_DIGEST = re.compile(rb"blobs/(sha256|sha512)/([0-9a-f]+)$")


def mutated_bytes(random, data, corpus):
    """Bytes that are flipped, cut, repeated, inserted, or go on as other ones do."""
    data = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(data))
        length = random.choice((1, 2, 8, 100, BLOCK))
        match random.randint(0, 5):
            case 0:
                data[at : at + 1] = bytes([random.randint(0, 255)])
            case 1:
                del data[at:]
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length] * random.randint(1, 3)
            case 4:
                data[at:at] = bytes(random.choice((0, 0xFF, 0x22, 0x7B)) for _ in range(random.randint(1, 4)))
            case _:
                other = random.choice(corpus)
                data[at:] = other[random.randint(0, len(other)) :]
    return bytes(data)


def mutated_text(random, text, corpus):
    """A text that is spoilt as bytes are."""
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(text))
        match random.randint(0, 4):
            case 0:
                text = text[:at] + random.choice("/:@.-_ \0\n*?[]\\Aa0é\ud800\u0130\u2028") + text[at:]
            case 1:
                text = text[:at]
            case 2:
                text = text[:at] + text[at + 1 :]
            case 3:
                text = text[:at] + text[at : at + 10] * random.randint(1, 30) + text[at:]
            case _:
                other = random.choice(corpus)
                text = text[:at] + other[random.randint(0, len(other)) :]
    return text


def mutated_json(random, data):
    """A document in which values are others, or at other places; as bytes, which need not be JSON any more."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    for _ in range(random.randint(1, 3)):
        places = list(_places(document))
        if not places:
            break
        holder, key = random.choice(places)
        match random.randint(0, 4):
            case 0:
                holder[key] = copy.copy(random.choice(_ODD))
            case 1:
                other, other_key = random.choice(places)
                holder[key], other[other_key] = other[other_key], holder[key]
                if _is_endless(document):
                    return data
            case 2:
                del holder[key]
            case 3 if isinstance(holder, list):
                holder *= random.choice((2, 3, 50))
            case _ if isinstance(holder, dict):
                holder[random.choice((key.upper(), key + "x", ""))] = holder.pop(key)
    return json.dumps(document, ensure_ascii=random.choice((True, False))).encode("utf-8", "surrogatepass")


def mutated_archive(random, data, corpus):
    """A tar whose members are others, in another order, or spoilt; its checksums are right, unless its bytes are spoilt too."""
    members = list(_members(data))
    if not members or random.randint(0, 4) == 0:
        return mutated_bytes(random, data, corpus)
    is_repaired = random.choice((True, False))
    for _ in range(random.randint(1, 3)):
        if not members:
            break
        at = random.randrange(len(members))
        header, body = members[at]
        match random.randint(0, 8):
            case 0:
                del members[at]
            case 1:
                members.insert(random.randint(0, len(members)), members[at])
            case 2:
                members.insert(random.randint(0, len(members)), members.pop(at))
            case 3:
                members[at] = (
                    _named(header, random.choice((*_NAMES, random.choice(members)[0][:100].rstrip(b"\0")))),
                    body,
                )
            case 4:
                kind = _KINDS[random.randrange(len(_KINDS))]
                target = random.choice((*_NAMES, random.choice(members)[0][:100].rstrip(b"\0")))
                changed = header[:156] + bytes([kind]) + target[:100].ljust(100, b"\0") + header[257:]
                members[at] = (changed, body)
            case 5:
                size = random.choice(
                    (
                        b"00000000000\0",
                        b"00000001000\0",
                        b"77777777777\0",
                        b"\x80" + b"\0" * 3 + b"\x7f" * 8,
                        b"-1".ljust(12, b"\0"),
                    )
                )
                members[at] = (header[:124] + size + header[136:], body)
            case 6:
                members[at] = (header, mutated_bytes(random, body, [each for _, each in members]))
            case 7:
                members += list(_members(random.choice(corpus)))
            case _:
                documents = [place for place, (_, each) in enumerate(members) if each[:1] in (b"{", b"[")]
                if documents:
                    at = random.choice(documents)
                    members[at] = (members[at][0], mutated_json(random, members[at][1]))
    if is_repaired:
        members = _with_right_digests(members)
    out = b"".join(_header(header, len(body)) + body + bytes(-len(body) % BLOCK) for header, body in members)
    return out + bytes(2 * BLOCK)


def _places(document):
    if isinstance(document, dict):
        for key in list(document):
            yield document, key
            yield from _places(document[key])
    elif isinstance(document, list):
        for key, value in enumerate(document):
            yield document, key
            yield from _places(value)


def _is_endless(document):
    try:
        json.dumps(document)
    except (ValueError, RecursionError):
        return True
    return False


def _members(data):
    """The headers of a tar and what follows them, as far as it is one."""
    at = 0
    while len(header := data[at : at + BLOCK]) == BLOCK and header.strip(b"\0"):
        digits = header[124:136].strip(b"\0 ")
        if not re.fullmatch(rb"[0-7]+", digits):
            return
        size = int(digits, 8)
        yield header, data[at + BLOCK : at + BLOCK + size]
        at += BLOCK - -size // BLOCK * BLOCK


def _named(header, name):
    return name[:100].ljust(100, b"\0") + header[100:345] + bytes(155) + header[500:]


def _header(header, size):
    """A header with the size of what follows, unless its size was spoilt, and its checksum."""
    digits = header[124:136].strip(b"\0 ")
    was_spoilt = header[124:136] in (b"77777777777\0", b"-1".ljust(12, b"\0")) or header[124] & 0x80
    if not was_spoilt and digits:
        header = header[:124] + b"%011o\0" % size + header[136:]
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def _with_right_digests(members):
    """The members of a layout in which blobs that are others have their new digests, and documents that name them follow."""
    for _ in range(6):
        for place, (header, body) in enumerate(members):
            found = _DIGEST.search(header[:100].rstrip(b"\0"))
            if found is None or found[1] != b"sha256" or header[156:157] not in b"0\0":
                continue
            digits = hashlib.sha256(body).hexdigest().encode()
            if digits == found[2]:
                continue
            members[place] = (_named(header, b"blobs/sha256/" + digits), body)
            members = [
                (each, _following(data, found[2], digits, len(body)) if data[:1] == b"{" else data)
                for each, data in members
            ]
            break
        else:
            break
    return members


def _following(data, old, new, size):
    if old not in data:
        return data
    changed = data.replace(old, new)
    return re.sub(rb'("digest": ?"sha256:%s", ?"size": ?)-?[0-9]+' % new, rb"\g<1>%d" % size, changed)
