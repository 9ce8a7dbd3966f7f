"""The revisions as files: a line without gaps, independent of the package, good for SQL on paper."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import event

from imagestore import migrate
from imagestore.sql import revision
from tests.migrations.stored import run_script

ROOT = Path(__file__).parents[2]
FILES = sorted((migrate.folder() / "versions").glob("*.py"))


def test_the_release_knows_the_revisions_of_the_folder():
    scripts = [*ScriptDirectory(migrate.folder()).walk_revisions()]
    assert [script.revision for script in reversed(scripts)] == list(revision.REVISIONS)
    assert tuple(f"{number:04}" for number in range(1, len(FILES) + 1)) == revision.REVISIONS
    assert [path.name.partition("_")[0] for path in FILES] == list(revision.REVISIONS)
    assert migrate.head() == revision.HEAD == revision.REVISIONS[-1]


@pytest.mark.parametrize("path", [*FILES, migrate.folder() / "env.py"], ids=lambda path: path.name)
def test_a_revision_imports_nothing_from_imagestore(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module))
    assert {name.partition(".")[0] for name in imported} <= {"__future__", "alembic", "sqlalchemy", "contextlib"}


def alembic(*arguments):
    command = [sys.executable, "-m", "alembic", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def offline(dialect, *arguments):
    done = alembic("-x", f"dialect={dialect}", *arguments, "--sql")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_revisions_as_sql_make_the_same_database(connection, database_url):
    dialect = connection.dialect.name
    sql = offline(dialect, "upgrade", "head")
    assert "BEGIN" in sql
    run_script(database_url, sql)
    revision.require_head(connection)
    assert migrate.check(connection) == []
    run_script(database_url, offline(dialect, "downgrade", f"{revision.HEAD}:base"))
    assert migrate.current(connection) is None
    migrate.create(connection)
    revision.require_head(connection)


def test_alembics_command_line_touches_no_database():
    done = alembic("upgrade", "head")
    assert done.returncode != 0
    assert "imagestore db upgrade" in done.stderr + done.stdout


LOOK = """
import sys
from imagestore.sql.engine import create_engine
from imagestore.sql.revision import require_head
import imagestore.migrate
with create_engine(sys.argv[1]).connect() as connection:
    require_head(connection)
    assert imagestore.migrate.current(connection) == imagestore.migrate.head()
print([name for name in sys.modules if name.partition(".")[0] in ("alembic", "mako")])
"""


def test_a_database_at_head_is_opened_without_alembic(sqlite_url, connect):
    migrate.create(connect(sqlite_url))
    command = [sys.executable, "-c", LOOK, sqlite_url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_database_at_head_costs_one_statement(database_url, connect):
    connection = connect(database_url)
    migrate.create(connection)
    statements = []
    event.listen(connection, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    revision.require_head(connection)
    connection.commit()
    assert [text for text in statements if not text.startswith("BEGIN")] == [
        "SELECT version_num FROM imagestore_alembic_version"
    ]
