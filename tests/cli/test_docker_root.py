"""The main job: a real daemon's images are imported, shown as docker shows them, and exported as the same bytes."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TAR = ROOT / "examples/docker-root.tar"
COPIED = "imagestore: copied 10 images and 6 values of metadata\n"
EXPECTED = json.loads((ROOT / "tests/data/docker-root.expected.json").read_text())


@pytest.fixture(params=["tar", "data root", "image/<driver>"])
def source(request, tmp_path):
    if request.param == "tar":
        return TAR
    with tarfile.open(TAR) as tar:
        tar.extractall(tmp_path / "docker", filter="data")
    return tmp_path / "docker" / ("image/vfs" if request.param == "image/<driver>" else "")


@pytest.fixture
def imported(cli):
    assert cli("import-docker", TAR) == (0, "", f"{COPIED}imagestore: set 9 tags and the sizes of 8 layers\n")
    return cli


def seconds(created_at):
    return int(datetime.strptime(created_at, "%Y-%m-%d %H:%M:%S +0000 UTC").replace(tzinfo=UTC).timestamp())


def test_every_form_of_a_data_root_is_imported(cli, source):
    assert cli("import-docker", source)[0] == 0
    assert set(cli("images", "-aq", "--no-trunc").out.split()) == {each["Id"] for each in EXPECTED["images"]}
    assert len(cli("images").out.splitlines()) == 11
    assert cli("verify") == (0, "", "")


def test_a_second_import_finds_nothing_to_do(imported):
    assert imported("import-docker", TAR).err == (
        "imagestore: copied 0 images and 0 values of metadata\nimagestore: set 0 tags and the sizes of 0 layers\n"
    )


def summaries(lines):
    """What the Engine API lists, from the lines of ``images --format json --no-trunc``."""
    found: dict[tuple[int, str, str], list[str]] = {}
    for each in map(json.loads, lines):
        summary = (seconds(each["CreatedAt"]), each["ID"], each["Size"])
        found.setdefault(summary, []).append(f"{each['Repository']}:{each['Tag']}")
    return [(*summary, tags) for summary, tags in found.items()]


def test_images_shows_all_the_newest_first(imported):
    shown = summaries(imported("images", "-a", "--no-trunc", "--format", "json").out.splitlines())
    expected = [(each["Created"], each["Id"], f"{each['Size']}B", each["RepoTags"]) for each in EXPECTED["list"]]
    assert sorted(shown) == sorted(expected)
    times = [created for created, *_ in shown]
    assert times == sorted(times, reverse=True)


def test_images_hides_what_has_no_name_and_others_are_built_on(imported):
    parents = {each["ParentId"] for each in EXPECTED["list"]}
    shown = summaries(imported("images", "--no-trunc", "--format", "json").out.splitlines())
    assert {image_id for _, image_id, _, _ in shown} == {
        each["Id"] for each in EXPECTED["list"] if each["RepoTags"] != ["<none>:<none>"] or each["Id"] not in parents
    }
    assert set(imported("heads", "-q", "--no-trunc").out.split()) == {each["Id"] for each in EXPECTED["list"]} - parents


def test_images_of_a_name(imported):
    lines = imported("images", "fam/*", "--no-trunc", "--format", "json").out.splitlines()
    assert {tag for *_, tags in summaries(lines) for tag in tags} == {"fam/base:1", "fam/top:1", "fam/top:2"}


def test_inspect_shows_what_docker_shows(imported):
    wanted = [each["Id"] for each in EXPECTED["images"]]
    found = json.loads(imported("inspect", *wanted).out)
    assert [each["Id"] for each in found] == wanted
    for ours, dockers in zip(found, EXPECTED["images"], strict=True):
        assert {key: ours[key] for key in dockers} == dockers
        assert list(ours["Config"]) == list(dockers["Config"])


def test_inspect_and_history_go_by_name(imported):
    for image in EXPECTED["images"]:
        for tag in image["RepoTags"]:
            assert imported("inspect", tag) == imported("inspect", image["Id"])
            assert imported("history", tag) == imported("history", image["Id"])


def test_inspect_has_the_time_of_the_last_update(imported):
    found = json.loads(imported("inspect", "e2124eaf7628", "24c944407d99").out)
    with tarfile.open(TAR) as tar:
        (name,) = [name for name in tar.getnames() if name.endswith("lastUpdated")]
        updated = tar.extractfile(name).read().decode()
    assert "/sha256/e2124eaf7628" in name
    assert [each["Metadata"]["LastTagTime"] for each in found] == [updated, "0001-01-01T00:00:00Z"]


@pytest.mark.parametrize("image", EXPECTED["history"])
def test_history_shows_what_docker_shows(imported, image):
    lines = imported("history", "--no-trunc", "--format", "json", image.removeprefix("sha256:")[:12]).out.splitlines()
    shown = [{**json.loads(line), "Created": seconds(json.loads(line)["CreatedAt"])} for line in lines]
    keys = {"Id": "ID", "Created": "Created", "CreatedBy": "CreatedBy", "Comment": "Comment"}
    assert [({ours: each[ours] for ours in keys.values()}, each["Size"], each["Tags"]) for each in shown] == [
        ({ours: each[dockers] for dockers, ours in keys.items()}, f"{each['Size']}B", each["Tags"] or [])
        for each in EXPECTED["history"][image]
    ]


def test_the_export_has_the_same_bytes(imported, tmp_path):
    assert imported("export-docker", tmp_path / "vfs").err == COPIED
    with tarfile.open(TAR) as tar:
        members = [each for each in tar.getmembers() if "/layerdb/" not in each.name and each.isfile()]
        wanted = {each.name.removeprefix("image/vfs/"): tar.extractfile(each).read() for each in members}
        modes = {each.name.removeprefix("image/vfs/"): each.mode for each in members}
    written = [path for path in (tmp_path / "vfs").rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path / "vfs")): path.read_bytes() for path in written} == wanted
    assert {str(path.relative_to(tmp_path / "vfs")): path.stat().st_mode & 0o777 for path in written} == modes


def test_an_export_is_imported_again(imported, run_cli, tmp_path):
    imported("export-docker", tmp_path / "export")
    second = "--store", f"sqlite:///{tmp_path}/second.db"
    assert run_cli(*second, "import-docker", tmp_path / "export").code == 0
    assert run_cli(*second, "images", "-aq").out == imported("images", "-aq").out
    shown = run_cli(*second, "images", "-a").out
    assert "N/A" in shown, "layers are not exported, and so their sizes are not known"
    assert "fam/top" in shown
