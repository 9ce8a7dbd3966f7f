"""The PostgreSQL server that the tests run on."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from imagestore.testing import postgres

HOLD = """
import sys
from sqlalchemy import make_url
from imagestore.testing.postgres import postgres_server
with postgres_server() as server:
    print(server.pid, make_url(server.url).query["host"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def without_variable(monkeypatch):
    monkeypatch.delenv(postgres.VARIABLE, raising=False)


def query(url, statement):
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.exec_driver_sql(statement)
        return result.scalar() if result.returns_rows else None


def gone(pid):
    """Whether the process is gone or a zombie that somebody else has to collect."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_database_is_empty_and_nobody_elses(postgres_server):
    one, other = postgres_server.create_database(), postgres_server.create_database()
    query(one, "CREATE TABLE t (x int)")
    assert query(one, "SELECT count(*) FROM pg_tables WHERE tablename = 't'") == 1
    assert query(other, "SELECT count(*) FROM pg_tables WHERE tablename = 't'") == 0
    postgres_server.drop_database(one)
    assert (
        query(other, f"SELECT count(*) FROM pg_database WHERE datname = '{one.partition('?')[0].rpartition('/')[2]}'")
        == 0
    )
    postgres_server.drop_database(other)


def test_a_copy_has_what_its_template_has(postgres_server):
    template = postgres_server.create_database()
    query(template, "CREATE TABLE t AS SELECT 7 AS x")
    postgres_server.close_to_connections(template)
    copies = [postgres_server.create_database(template=template) for _ in range(2)]
    assert [query(copy, "SELECT x FROM t") for copy in copies] == [7, 7]
    for url in (*copies, template):
        postgres_server.drop_database(url)


def test_a_database_is_dropped_under_an_open_connection(postgres_server):
    url = postgres_server.create_database()
    engine = create_engine(url)
    connection = engine.connect()
    connection.exec_driver_sql("SELECT 1")
    postgres_server.drop_database(url)
    connection.invalidate()
    connection.close()
    engine.dispose()


@pytest.mark.parametrize(("durable", "expected"), [(False, "off"), (True, "on")])
def test_only_a_durable_server_syncs(without_variable, durable, expected):
    with postgres.postgres_server(durable=durable, settings=["work_mem=5MB"]) as server:
        assert query(server.url, "SHOW fsync") == expected
        assert query(server.url, "SHOW work_mem") == "5MB"
        assert query(server.url, "SHOW listen_addresses") == ""
        assert query(server.url, "SELECT current_setting('server_version_num')::int / 10000") == 18
        pid = server.pid
    assert gone(pid)


def test_a_server_that_cannot_start_says_why(without_variable):
    with pytest.raises(RuntimeError, match="no_such_setting"), postgres.postgres_server(settings=["no_such_setting=1"]):
        pass


def test_the_programs_are_copied_where_their_user_cannot_reach_them(without_variable, tmp_path):
    """As root, in a clone in a folder that only root may enter; any other user's server runs where the programs are."""
    package = postgres._bundled_programs().parents[1]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), closed / libraries)
    shutil.copytree(package / "pginstall18", closed / package.name / "pginstall18")
    programs = closed / package.name / "pginstall18" / "bin"
    with postgres.postgres_server(programs=programs) as server:
        assert query(server.url, "SELECT 1") == 1
        if os.getuid() == 0:
            assert closed not in Path(f"/proc/{server.pid}/exe").readlink().parents


if sys.platform == "linux":  # only there does the kernel end a child with its parent

    def test_the_server_ends_with_a_process_that_is_killed(without_variable):
        command = [sys.executable, "-c", HOLD]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            pid, folder = holder.stdout.readline().split()
            server = os.pidfd_open(int(pid))
            holder.kill()
        ended, _, _ = select.select([server], [], [], 60)
        os.close(server)
        shutil.rmtree(folder)
        assert ended, "the server outlived the process that started it"


@pytest.mark.usefixtures("without_variable")
def test_what_a_killed_process_left_is_removed_at_the_next_start():
    code = (
        "import os, signal\n"
        "from imagestore.testing.postgres import postgres_server\n"
        "with postgres_server(durable=True) as server:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    again = "from imagestore.testing.postgres import postgres_server\nwith postgres_server(durable=True):\n    pass\n"
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # the server's own user reaches what is in it
        environment = {**os.environ, "TMPDIR": place}
        killed = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
        assert killed.returncode == -signal.SIGKILL
        (left,) = Path(place).glob("imagestore-pg-*")
        subprocess.run([sys.executable, "-c", again], env=environment, check=True)
        assert not left.exists()
