"""Which store a command works on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

    from imagestore.content.place import Content
    from imagestore.store import Store


@dataclass(frozen=True)
class Location:
    """A store that is not open yet.

    Args:
        url: of its database; None for the SQLite file in the user's data folder, which is made when it is first used.
        schema: the PostgreSQL schema that has the tables.
        content: the folder that keeps the bytes of layers; None for the one beside an SQLite file.
    """

    url: str | None
    schema: str | None
    content: str | None = None

    def open(self, *, create: bool = False, with_content: bool = False) -> Store:
        """Open the store; the caller closes it.

        Args:
            create: make the tables in a database without. Commands that only read do not: a typing error is no new store.
            with_content: for commands that look at the bytes of layers, or remove them. Without a folder that is named, and without one
                that is there beside the database, the store knows of none; with ``create`` there is one, or an error.
        """
        from imagestore.store import Store

        content = self._content(create=create) if with_content else None
        with self.naming():
            return Store.open(
                self._url(), schema=self.schema, create_schema=create or self.url is None, content=content
            )

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection to the database, whatever its tables are; in no transaction yet."""
        from imagestore.sql.engine import create_engine

        engine = create_engine(self._url())
        try:
            with self.naming(), engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Let the commands that a `SchemaError` of the block names be whole: with this store, where one was given. Passwords are hidden."""
        from imagestore.errors import SchemaError

        try:
            yield
        except SchemaError as error:
            if self.url is not None:
                error.args = (str(error).replace("'imagestore ", f"'imagestore --store {_shown(self.url)} "),)
            raise

    def is_missing(self) -> bool:
        """Whether the database is a file that is not there; to connect would make it."""
        from imagestore.sql.engine import is_missing_file, parse_url

        return is_missing_file(parse_url(self._url()))

    def _content(self, *, create: bool) -> Content | str | None:
        if self.content is not None:
            return self.content
        from imagestore.errors import UnusableContentError
        from imagestore.layers import content_beside

        try:
            with naming_content():
                beside = content_beside(self._url())
        except UnusableContentError:  # a database that is no file has none beside it
            if create:
                raise
            return None
        return beside if create or beside.identity is not None else None

    def _url(self) -> str | URL:
        from sqlalchemy import URL

        return URL.create("sqlite", database=str(_default_file())) if self.url is None else self.url


@contextmanager
def naming_content() -> Iterator[None]:
    """Let an `UnusableContentError` of the block say how a folder is named here."""
    from imagestore.errors import UnusableContentError

    try:
        yield
    except UnusableContentError as error:
        error.add_note("on the command line that is --content DIR, or IMAGESTORE_CONTENT")
        raise


def _shown(url: str) -> str:
    """A URL as a shell takes it, without what is secret in it."""
    from sqlalchemy import make_url

    parsed = make_url(url)
    secret = {key: "***" for key in parsed.query if "password" in key.lower()}
    return shlex.quote(parsed.update_query_dict(secret).render_as_string())


def _default_file() -> Path:
    from platformdirs import user_data_path

    return user_data_path("imagestore", appauthor=False, ensure_exists=True) / "images.db"
