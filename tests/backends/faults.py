"""Makes one file operation fail, and tells whether it came to that."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from unittest import mock

OPERATIONS = (
    "open",
    "write",
    "fsync",
    "replace",
    "rename",
    "link",
    "mkdir",
    "unlink",
    "rmdir",
    "chmod",
    "fchmod",
    "fstat",
    "scandir",
    "close",
)


class Fault:
    """The ``number``-th file operation from now on fails once; ``operation`` is its name, None as long as it has not come to it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.operation: str | None = None
        self._seen = 0

    def wrap(self, name: str):
        real = getattr(os, name)

        def operation(*arguments, **keywords):
            self._seen += 1
            if self._seen != self.number:
                return real(*arguments, **keywords)
            self.operation = name
            if name == "write":  # a disk that fills up has taken a part
                descriptor, data = arguments
                real(descriptor, bytes(data)[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if name == "close":  # the descriptor is gone all the same
                real(*arguments)
            raise OSError(errno.EIO, f"{os.strerror(errno.EIO)}: {name}")

        return operation


@contextlib.contextmanager
def failing(number: int) -> Iterator[Fault]:
    fault = Fault(number)
    with contextlib.ExitStack() as stack:
        for name in OPERATIONS:
            stack.enter_context(mock.patch.object(os, name, fault.wrap(name)))
        yield fault
