"""What only PostgreSQL has: schemas, and roles that may do less."""

from __future__ import annotations

import re
import secrets
import shlex

import pytest
import sqlalchemy
from sqlalchemy import insert, inspect, make_url, select, text
from sqlalchemy.exc import ProgrammingError

from imagestore import migrate
from imagestore.digest import Digest
from imagestore.errors import ForeignSchemaError, SchemaMissingError, SchemaTooOldError, UnknownRevisionError
from imagestore.sql import schema
from imagestore.sql.engine import create_engine
from imagestore.sql.revision import HEAD, require_head

OURS = sorted([*schema.metadata.tables, schema.VERSION_TABLE])
NAMES = ["images", "My Images", 'we"ird; %s %(x)s \\ name', "public"]


@pytest.fixture(params=[create_engine, sqlalchemy.create_engine], ids=["ours", "a host's"])
def connection(request, postgres_url, connect):
    return connect(postgres_url, request.param)


def tables(connection, schema):
    with connection.engine.connect() as other:
        return sorted(inspect(other).get_table_names(schema=schema))


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_of_its_own(connection, name):
    with pytest.raises(SchemaMissingError, match=re.escape(f"'imagestore --schema {shlex.quote(name)} db upgrade'")):
        require_head(connection, schema=name)
    migrate.create(connection, schema=name)
    require_head(connection, schema=name)
    assert migrate.current(connection, schema=name) == HEAD
    assert migrate.check(connection, schema=name) == []
    assert tables(connection, name) == OURS
    migrate.create(connection, schema=name)
    migrate.upgrade(connection, schema=name)
    digest = Digest.from_bytes(b"{}")
    options = {"schema_translate_map": {None: name}}
    connection.execute(insert(schema.blobs), {"digest": digest, "data": b"{}"}, execution_options=options)
    assert connection.execute(select(schema.blobs.c.digest), execution_options=options).scalars().all() == [digest]
    connection.commit()
    migrate.downgrade(connection, "base", schema=name)
    assert tables(connection, name) == []


def test_two_schemas_do_not_know_of_each_other(connection, next_release):
    migrate.create(connection)
    migrate.create(connection, schema="later")
    with next_release() as (_, newest):
        with pytest.raises(SchemaTooOldError, match="'imagestore --schema later db upgrade'"):
            require_head(connection, schema="later")
        migrate.upgrade(connection, schema="later")
        assert migrate.current(connection, schema="later") == newest
        assert migrate.current(connection) == HEAD
        assert len(migrate.check(connection, schema="later")) == 2
        assert migrate.check(connection) == []
        migrate.downgrade(connection, HEAD, schema="later")
    migrate.downgrade(connection, "base")
    require_head(connection, schema="later")
    assert tables(connection, None) == []


def test_in_the_transaction_of_a_host_its_search_path_stays(connection):
    connection.execute(text("CREATE SCHEMA host"))
    connection.commit()
    transaction = connection.begin()
    connection.execute(text("SET LOCAL search_path TO host, public"))
    migrate.create(connection, schema="ours")
    assert migrate.check(connection, schema="ours") == []
    require_head(connection, schema="ours")
    assert connection.scalar(text("SHOW search_path")) == "host, public"
    transaction.rollback()
    assert not inspect(connection).has_schema("ours")


def test_where_no_schema_is_named_that_of_the_connection_counts(connection):
    connection.execute(text("CREATE SCHEMA host"))
    connection.execute(text(f'ALTER DATABASE "{connection.engine.url.database}" SET search_path TO host'))
    connection.commit()
    connection.close()
    connection.engine.dispose()
    with connection.engine.connect() as later:
        migrate.create(later)
        require_head(later)
        assert migrate.check(later) == []
        assert tables(later, "host") == OURS
        assert tables(later, "public") == []


def test_the_errors_name_the_schema(connection):
    connection.execute(text("CREATE SCHEMA taken"))
    connection.execute(text("CREATE TABLE taken.imagestore_blobs (id INTEGER)"))
    connection.commit()
    with pytest.raises(ForeignSchemaError, match="'taken' has imagestore_blobs"):
        migrate.create(connection, schema="taken")
    with pytest.raises(SchemaMissingError, match="'gone'"):
        require_head(connection, schema="gone")
    with pytest.raises(UnknownRevisionError):
        migrate.upgrade(connection, "0", schema="gone")
    assert not inspect(connection).has_schema("gone")


class TestARoleThatMayDoLess:
    @pytest.fixture
    def owner(self, postgres_url, connect):
        return connect(postgres_url)

    @pytest.fixture
    def role(self, owner):
        name = f"imagestore_test_{secrets.token_hex(6)}"
        owner.execute(text(f"CREATE ROLE {name} NOLOGIN"))
        owner.commit()
        yield name
        owner.rollback()
        owner.execute(text(f"DROP OWNED BY {name}"))
        owner.execute(text(f"DROP ROLE {name}"))
        owner.commit()

    @pytest.fixture
    def url_of_role(self, postgres_url, role):
        url = make_url(postgres_url).update_query_dict({"options": f"-c role={role}"})
        return url.render_as_string(hide_password=False)

    @pytest.fixture
    def runtime(self, url_of_role, connect):
        connection = connect(url_of_role)
        yield connection
        connection.close()  # before its role is dropped

    def grant(self, owner, role):
        owner.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(OURS)} TO {role}"))
        owner.commit()

    def test_it_works_on_tables_that_are_there(self, owner, role, runtime):
        migrate.create(owner)
        self.grant(owner, role)
        require_head(runtime)
        assert migrate.current(runtime) == HEAD
        migrate.create(runtime)
        migrate.upgrade(runtime)
        assert migrate.check(runtime) == []
        runtime.execute(insert(schema.blobs), {"digest": Digest.from_bytes(b"{}"), "data": b"{}"})
        runtime.commit()

    def test_a_store_works_for_it(self, owner, role, url_of_role):
        from imagestore import Store

        migrate.create(owner)
        self.grant(owner, role)
        config = b'{"os":"linux","rootfs":{"type":"layers"}}'
        for create_schema in (True, False):
            with Store.open(url_of_role, create_schema=create_schema) as store:
                image_id = store.create(config)
                assert store.get(image_id).raw_json == config
                store.delete(image_id)

    def test_it_is_told_what_it_lacks(self, owner, runtime):
        owner.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        owner.commit()
        for name in (None, "ours"):
            with pytest.raises(SchemaMissingError):
                require_head(runtime, schema=name)
            with pytest.raises(ProgrammingError) as caught:
                migrate.create(runtime, schema=name)
            assert "imagestore db upgrade" in caught.value.__notes__[0]
            assert not runtime.in_transaction()
        assert tables(owner, None) == []

    def test_without_any_right_to_the_tables_the_driver_says_so(self, owner, runtime):
        migrate.create(owner)
        with pytest.raises(ProgrammingError, match="permission denied for table imagestore_alembic_version"):
            require_head(runtime)

    def test_a_schema_that_is_there_takes_no_right_to_create_one(self, owner, role, runtime):
        owner.execute(text("CREATE SCHEMA given"))
        owner.execute(text(f"GRANT ALL ON SCHEMA given TO {role}"))
        owner.commit()
        migrate.create(runtime, schema="given")
        require_head(runtime, schema="given")
