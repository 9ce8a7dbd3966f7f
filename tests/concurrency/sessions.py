"""Sessions that run one statement at a time, when they are told to: the manner of PostgreSQL's own isolationtester.

A session is a thread with an engine of its own. Before each statement, and before the end of each transaction, it stops and says what it
is about to do; `Sessions.step` lets it. One that then waits for another's lock is seen through pg_blocking_pids, and the others go on.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Final

import psycopg
from psycopg import IsolationLevel
from sqlalchemy import Engine, event, make_url

from imagestore.sql.engine import create_engine
from imagestore.store import Store
from tests.concurrency.files import IDENTITY, Files
from tests.concurrency.statements import Step, ending, statement

_GLANCE: Final = 0.001  # seconds until the server is asked whether a session waits for a lock
_DEADLOCK: Final = 0.001  # seconds after which a session that waits looks, once, for a deadlock
_LOOKED: Final = (
    0.003  # by then it has: of two in a deadlock the one that came later ends it, so that runs can be repeated
)
_SILENT: Final = ("SAVEPOINT", "RELEASE SAVEPOINT", "SET TRANSACTION", "BEGIN")  # they touch nothing of others'


class AbandonedError(Exception):
    """Ends what a session is doing, as its schedule is not worth going on with."""


class Session:
    """A thread that runs one task after another.

    ``next`` is the step before which it stands, None while it runs, waits or has nothing to do; ``waits_for`` has the processes of the
    server whose locks it waits for; ``done`` are the steps of its task.
    """

    def __init__(self, number: int, url: str, reports: SimpleQueue[int], files: set[str]) -> None:
        self.number = number
        self.next: Step | None = None
        self.busy = self.failed = False
        self.waits_for: frozenset[int] = frozenset()
        self.result: object = None
        self._reports = reports
        self._stepped = self._abandoned = False
        self.done: set[Step] = set()
        self._held: list[Step] = []
        self.engine: Engine = create_engine(url)
        event.listen(self.engine, "connect", self._connected)
        event.listen(self.engine, "handle_error", self._failed)
        event.listen(self.engine, "commit", self._before_commit)
        event.listen(self.engine, "rollback", self._before_rollback)
        event.listen(self.engine, "rollback_savepoint", self._before_rollback)
        self.pid = 0
        self.since = 0.0
        self.store = Store(self.engine, content=Files(files, self._stop))
        self._commands: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"session {number}", daemon=True)
        self._thread.start()

    def begin(self, task: Callable[[Store], object], *, stepped: bool) -> None:
        """Start a task; it stops before its first statement, or, not ``stepped``, nowhere."""
        self.busy, self._stepped = True, stepped
        self.waits_for, self._abandoned = frozenset(), False
        self.done.clear()
        self._commands.put(task)

    def go(self) -> None:
        """Let it run the statement before which it stands."""
        self.next = None
        self.failed = False
        self.since = time.monotonic()
        self._commands.put(True)

    def abandon(self) -> None:
        """Let it roll back instead."""
        self.next = None
        self._abandoned = True
        self._commands.put(False)

    def close(self) -> None:
        self._commands.put(None)
        self._thread.join()
        self.engine.dispose()

    def _work(self) -> None:
        while (task := self._commands.get()) is not None:
            try:
                self.result = task(self.store)
            except BaseException as error:  # noqa: BLE001  what the task raises is its result
                self.result = error
            self.busy = False
            self._reports.put(self.number)

    def _stop(self, step: Step) -> None:
        self.done.add(step)
        if not self._stepped or self._abandoned:
            return
        self.next = step
        self._reports.put(self.number)
        if not self._commands.get() and not step.text.startswith("ROLLBACK"):
            raise AbandonedError

    def _connected(self, connection: Any, _record: object) -> None:
        self.pid = connection.info.backend_pid
        connection.execute(f"SET deadlock_timeout = {round(_DEADLOCK * 1000)}")
        connection.commit()
        connection.cursor_factory = _stepping(connection.cursor_factory, self._before_statement)

    def _before_statement(self, text: str, parameters: list[Mapping[str, Any]], *, in_snapshot: bool) -> None:
        if not text.startswith((*_SILENT, "ROLLBACK TO")):
            step = statement(text, parameters, in_snapshot=in_snapshot)
            if step.shares or step.writes:
                self._held.append(step)
            self._stop(step)

    def _failed(self, _context) -> None:
        self.failed = True  # the server has let go of all that the transaction held

    def _before_commit(self, connection) -> None:
        self._before_end(connection, "COMMIT")

    def _before_rollback(self, connection, *savepoint) -> None:
        if savepoint:
            self._stop(ending("ROLLBACK TO SAVEPOINT", self._held))
        else:
            self._before_end(connection, "ROLLBACK")

    def _before_end(self, connection, text: str) -> None:
        held, self._held = self._held, []
        is_serializable = connection.get_execution_options().get("isolation_level") == "SERIALIZABLE"
        if held or is_serializable:  # else nobody can tell when it ended
            self._stop(ending(text, held, serializable=is_serializable and text == "COMMIT"))


def _stepping(cursor: type[Any], before: Callable[..., None]) -> type[Any]:
    """The driver's cursor, which all statements come to: those of SQLAlchemy, and the reads that go by it."""

    class SteppingCursor(cursor):  # type: ignore[misc]
        def execute(self, query: str, params: Mapping[str, Any] | None = None, **options: Any) -> Any:
            before(query, [params or {}], in_snapshot=_sees_snapshot(self.connection))
            return super().execute(query, params, **options)

        def executemany(self, query: str, params_seq: Iterable[Mapping[str, Any]], **options: Any) -> Any:
            every = list(params_seq)
            before(query, every, in_snapshot=_sees_snapshot(self.connection))
            return super().executemany(query, every, **options)

    return SteppingCursor


def _sees_snapshot(connection: psycopg.Connection) -> bool:
    return connection.isolation_level in (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)


class Sessions:
    """Some sessions on one database, and the connection that watches them."""

    def __init__(self, url: str, count: int) -> None:
        self._reports: SimpleQueue[int] = SimpleQueue()
        self.files: set[str] = set()
        parameters = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self.control = psycopg.connect(parameters, autocommit=True)
        self.control.execute("INSERT INTO imagestore_content_location VALUES (1, %s)", [IDENTITY])
        self.all = [Session(number, url, self._reports, self.files) for number in range(count)]

    def close(self) -> None:
        self.abandon()
        for session in self.all:
            session.close()
        self.control.close()

    def begin(self, tasks: list[Callable[[Store], object]]) -> None:
        """Give each session a task, and let it come to its first statement."""
        for session, task in zip(self.all, tasks, strict=False):
            session.begin(task, stepped=True)
        self._settle()

    def alone(self, number: int, task: Callable[[Store], object]) -> object:
        """Run a task from its beginning to its end, and return its result or its exception."""
        session = self.all[number]
        session.begin(task, stepped=False)
        while session.busy:
            self._reports.get()
        return session.result

    def choices(self) -> dict[int, Step]:
        """What can be done next, by session."""
        return {session.number: session.next for session in self.all if session.next is not None}

    def step(self, number: int) -> None:
        """Let a session do its next step, and wait until every session stands, waits for a lock, or has ended."""
        session = self.all[number]
        assert session.next is not None
        ends = session.next.ends
        session.go()
        self._settle()
        if ends or session.failed:
            self._settle(released=True)

    def abandon(self) -> None:
        """Let all sessions roll back what they are doing."""
        while any(session.busy for session in self.all):
            for session in self.all:
                if session.next is not None:
                    session.abandon()
            self._settle(released=True)

    def _settle(self, *, released: bool = False) -> None:
        if released:
            for session in self.all:
                session.waits_for = frozenset()
        while True:
            while running := [each for each in self.all if each.busy and each.next is None and not each.waits_for]:
                self._glance(running)
            if not self._in_deadlock():
                return
            with contextlib.suppress(Empty):
                self._reports.get(timeout=_LOOKED)  # the server ends it, by an error in one of the sessions
            for session in self.all:
                session.waits_for = frozenset()

    def _glance(self, running: list[Session]) -> None:
        try:
            self._reports.get(timeout=_GLANCE)
        except Empty:
            for session in running:
                ((waits_for,),) = self.control.execute("SELECT pg_blocking_pids(%s)", [session.pid]).fetchall()
                if session.busy and session.next is None and time.monotonic() > session.since + _LOOKED:
                    session.waits_for = frozenset(waits_for)

    def _in_deadlock(self) -> bool:
        waiting = {session.pid: session.waits_for for session in self.all if session.waits_for}
        return any(waits_for & waiting.keys() and _leads_back(pid, waiting) for pid, waits_for in waiting.items())


def _leads_back(pid: int, waiting: dict[int, frozenset[int]]) -> bool:
    reached: set[int] = set()
    ahead = set(waiting[pid])
    while ahead:
        reached |= ahead
        ahead = {further for each in ahead for further in waiting.get(each, ())} - reached
    return pid in reached


@contextmanager
def sessions(url: str, count: int) -> Iterator[Sessions]:
    opened = Sessions(url, count)
    try:
        yield opened
    finally:
        opened.close()
