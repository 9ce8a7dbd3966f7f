"""How much an archive may ask for: the option ``--limit``, which is the same for all that read archives."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from imagestore.errors import InvalidError

if TYPE_CHECKING:
    from imagestore.archive.limits import Limits

_UNITS: Final = {"": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}
_NUMBER: Final = re.compile(rf"([0-9]{{1,19}}) ?({'|'.join(_UNITS)})", re.ASCII)


def limited(command: Any) -> Any:
    """The option ``--limit``, handed to the command as one `Limits`."""

    @click.option(
        "--limit",
        "given",
        metavar="NAME=VALUE",
        multiple=True,
        help="How much the archive may ask for, as layer=20GiB; may be given several times. NAME is one of "
        "entries, document, documents, layer, archive, images, tags, layers, depth, window.",
    )
    @wraps(command)
    def with_limits(*args: Any, given: tuple[str, ...], **kwargs: Any) -> Any:
        return command(*args, limits=_limits(given), **kwargs)

    return with_limits


def _limits(given: tuple[str, ...]) -> Limits:
    from imagestore.archive.limits import Limits

    names = [field.name for field in fields(Limits)]
    values = {}
    for each in given:
        name, _, value = each.partition("=")
        if name not in names:
            raise click.BadParameter(
                f"there is no limit {name!r}: there are {', '.join(names)}", param_hint="'--limit'"
            )
        number = _NUMBER.fullmatch(value)
        if number is None:
            raise click.BadParameter(
                f"{name} is a number, as 500, or of bytes, as 20GiB; KiB, MiB and TiB go too, not {value!r}",
                param_hint="'--limit'",
            )
        values[name] = int(number[1]) << _UNITS[number[2]]
    try:
        return replace(Limits(), **values)
    except InvalidError as error:
        raise click.BadParameter(str(error), param_hint="'--limit'") from error
