"""docker-compose.yml against the URL that the documents name."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec.yaml
import pytest
from sqlalchemy import make_url

ROOT = Path(__file__).parents[2]
URL = re.compile(r"postgresql\+psycopg://[^\s`\"')]+@127\.0\.0\.1[^\s`\"')]*")


@pytest.fixture(scope="module")
def service():
    services = msgspec.yaml.decode((ROOT / "docker-compose.yml").read_bytes())["services"]
    assert list(services) == ["postgres"]
    return services["postgres"]


@pytest.fixture(scope="module")
def url():
    """The one URL of a server that the README names."""
    (named,) = set(URL.findall((ROOT / "README.md").read_text()))
    return make_url(named)


def test_every_document_names_the_same_url(url):
    documents = [ROOT / "docker-compose.yml", *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    named = {found for document in documents for found in URL.findall(document.read_text())}
    assert named == {url.render_as_string(hide_password=False)}


def test_the_image_is_the_release_that_the_tests_run_on(service):
    assert service["image"] == "postgres:18"


def test_the_url_is_that_of_the_server(service, url):
    environment = service["environment"]
    assert (url.username, url.password) == (environment["POSTGRES_USER"], environment["POSTGRES_PASSWORD"])
    assert url.database == environment["POSTGRES_DB"]
    assert service["ports"] == [f"{url.host}:{url.port}:5432"], "this machine alone may reach it"


def test_the_health_check_asks_for_the_users_database_over_tcp(service, url):
    check = service["healthcheck"]["test"]
    assert check[:2] == ["CMD", "pg_isready"]
    assert set(check[2:]) == {"--host=127.0.0.1", f"--username={url.username}", f"--dbname={url.database}"}


def test_the_data_outlives_the_container(service):
    """The folder above the data: from release 18 on, the image keeps each major version's data in a folder of its own."""
    (volume,) = service["volumes"]
    name, folder = volume.split(":")
    assert folder == "/var/lib/postgresql"
    assert name in msgspec.yaml.decode((ROOT / "docker-compose.yml").read_bytes())["volumes"]
