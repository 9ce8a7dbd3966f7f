"""How a message shows a stranger's text: its beginning alone where it is long, and in quotes as Go puts them."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 255  # characters, as the longest name of a file has
_SHORT: Final = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    "'": r"\'",
}


def shortened(text: str) -> str:
    """All of a text, or its first 255 characters."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def quoted(text: str) -> str:
    """A text as Go's ``%q`` shows it, of which at most 255 characters are shown."""
    shown = "".join(r"\"" if character == '"' else _escaped(character) for character in text[: _LONGEST + 1])
    return f'"{shortened(shown)}"'


def quoted_byte(byte: bytes) -> str:
    """A byte as Go quotes it, as the character of this number."""
    return r"'\''" if byte == b"'" else f"'{_escaped(byte.decode('latin-1'))}'"


def _escaped(character: str) -> str:
    if character in _SHORT or character.isprintable():
        return _SHORT.get(character, character)
    number = ord(character)
    if number < 0x80:
        return rf"\x{number:02x}"
    return rf"\u{number:04x}" if number < 0x10000 else rf"\U{number:08x}"
