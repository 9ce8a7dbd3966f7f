"""Headers of a tar with any bytes in their fields, and PAX records."""

from __future__ import annotations


def block(name=b"file", kind=b"0", size=b"", *, fields=None, magic=b"ustar\00000"):
    """A header with the given bytes in its fields, and its checksum."""
    made = bytearray(512)
    for at, data in {0: name, 100: b"0000644\0", 124: size, 156: kind, 257: magic, **(fields or {})}.items():
        made[at : at + len(data)] = data
    made[148:156] = b"%06o\0 " % (sum(made) - sum(made[148:156]) + 8 * 32)
    return bytes(made)


def with_data(name, kind, data):
    return block(name, kind, b"%011o\0" % len(data)) + data.ljust(-(-len(data) // 512) * 512, b"\0")


def records(**values):
    """A member of PAX records."""
    return with_data(b"records", b"x", b"".join(record(key.encode(), value) for key, value in values.items()))


def record(key, value):
    rest = b" %b=%b\n" % (key, value)
    length = len(rest)
    while length != len(b"%d%b" % (length, rest)):
        length = len(b"%d%b" % (length, rest))
    return b"%d%b" % (length, rest)
