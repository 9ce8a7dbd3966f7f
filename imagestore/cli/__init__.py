"""The command line ``imagestore``, with docker's verbs. It needs the extra ``cli``; ``docs/cli.md`` shows it all.

    program     the group of commands, each loaded when it is called
    location    which store: --store, IMAGESTORE_URL, or a file in the user's data folder
    ages        docker's words for how long ago that is
    sizes       docker's words for how large that is
    style       the options of a listing, and how it shows an ID
    output      tables and JSON, in which no image can speak to the terminal
    errors      what a failure says, and the exit code
    listing     images, heads, children, ancestors
    inspecting  inspect, history
    changing    create, tag, rmi
    loading     load
    saving      save
    archives    inspect-archive
    sources     where an archive comes from: a path, or standard input; --platform
    limits      how much an archive may ask for: --limit
    docker      import-docker, export-docker
    lineage     bases, derived, du, layers
    garbage     gc
    database    verify, db

Results go to standard output, all else to standard error. Nothing here is imported by the rest of the package.
"""

from __future__ import annotations

import io
import signal
import sys
from typing import Final, NoReturn

_NEEDS_EXTRA: Final = (
    "imagestore: the command line needs the package {!r}, which is not installed: "
    "pip install '.[cli]' in a clone of imagestore"
)


def main() -> NoReturn:
    """Run the command that the process was started with, and exit with its code (see `imagestore.cli.errors`)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has seen enough ends us, as it ends any other program
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who stops a service ends a load's lease, too
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a letter that the locale does not have is no error
    try:
        from imagestore.cli.errors import run
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit(_NEEDS_EXTRA.format(error.name))
    sys.exit(run(sys.argv[1:]))
