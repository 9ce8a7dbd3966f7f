"""What a load tells of itself while it goes on: docker's lines, how far each layer is, and the error; as docker's JSON messages too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple


class Line(NamedTuple):
    """A line of docker's, as "Loaded image: app:1", with its end."""

    text: str

    def to_json(self) -> bytes:
        """The message of the daemon (moby's ``streamformatter``), with its end."""
        return _message({"stream": self.text} if self.text else {})


class Progress(NamedTuple):
    """How far a layer is, in bytes as they are in the archive; ``id`` is of twelve digits."""

    id: str
    current: int
    total: int

    def to_json(self) -> bytes:
        """The message of the daemon, with its end, without the bar that it draws into it for older clients."""
        detail = {"current": self.current, "total": self.total}
        return _message({"status": "Loading layer", "progressDetail": detail, "id": self.id})


class Failure(NamedTuple):
    """Why it has ended, as the last message of a stream that can no longer have another status."""

    text: str

    def to_json(self) -> bytes:
        """The message of the daemon, with its end."""
        return _message({"errorDetail": {"message": self.text}, "error": self.text})


Message = Line | Progress
Report = Callable[[Message], None]


def _message(message: dict[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\r\n"
