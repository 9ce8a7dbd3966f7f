"""Platforms: an operating system and an architecture with its variant, as an OCI layout offers them and a user asks for one."""

from __future__ import annotations

from typing import Final, NamedTuple, Self

from imagestore.errors import InvalidError

_SYSTEMS: Final = {"macos": "darwin"}
_ARCHITECTURES: Final = {
    "aarch64": ("arm64", ""),
    "armel": ("arm", "v6"),
    "armhf": ("arm", "v7"),
    "i386": ("386", ""),
    "x86-64": ("amd64", ""),
    "x86_64": ("amd64", ""),
}
_VARIANTS: Final = {"amd64": "v1", "arm": "v7", "arm64": "v8"}


class Platform(NamedTuple):
    """A platform under its usual names: the same platform is an equal value, whoever has written it.

    Source: containerd's ``platforms.Normalize``.
    """

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def of(cls, os: str, architecture: str, variant: str = "") -> Self:
        """A platform by any of its names: x86_64 is amd64, arm64 is arm64/v8, arm is arm/v7."""
        os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
        architecture, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
        variant = variant or implied or _VARIANTS.get(architecture, "")
        return cls(_SYSTEMS.get(os, os), architecture, f"v{variant}" if variant.isdigit() else variant)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A platform as users write it: "linux/arm64" or "linux/arm/v6".

        Raises:
            InvalidError: it is written in another way.
        """
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise InvalidError(
                f"invalid platform {text!r}: write the operating system and the architecture, as linux/amd64 or linux/arm/v7"
            )
        return cls.of(*parts)

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


DEFAULT: Final = Platform.of("linux", "amd64")
"""The platform of which an image is taken where there are several and none was asked for."""

UNKNOWN: Final = Platform.of("unknown", "unknown")
"""What BuildKit says of what is no image, an attestation."""
