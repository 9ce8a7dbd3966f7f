"""What a real docker 20.10 did and said, step by step, and the same commands here. Differences are those that docs/from-docker.md lists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from imagestore.docker.rules import resolve

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/archives/data"
SCENARIOS = {each["name"]: each["steps"] for each in json.loads((DATA / "scenarios.json").read_text())}
LISTED = re.findall(
    r"^\| `(\w+)` \|",
    (ROOT / "docs/from-docker.md").read_text().split("## Deliberate differences")[1].split("\n## ")[0],
    re.MULTILINE,
)
PREFIX = re.compile(r"^(?:Error response from daemon|Error parsing reference|Error|imagestore): ")
SUBJECT = re.compile(r"""^(?:".*"|'.*) is not a valid repository/tag: """)
VERBS = {"images", "tag", "rmi", "history", "load", "save"}


def ours(command):
    """Our command for one of docker's, the template that it wants, and the difference that keeps it from being run."""
    verb, *arguments = command[1:] if command[0] == "image" else command
    arguments = [each for each in arguments if each not in ("-o", "<TMP>/x.tar")]  # nothing comes to it
    if verb == "inspect":
        template = arguments.pop(arguments.index("--format") + 1) if "--format" in arguments else None
        return ["inspect", *(each for each in arguments if each != "--format")], template, None
    if verb == "load":
        arguments[-1] = str(DATA / arguments[-1])
    if verb not in VERBS:
        return [verb, *arguments], None, "verbs"
    template = None
    if "--format" in arguments:
        place = arguments.index("--format") + 1
        template, arguments[place] = arguments[place], "json"
    if arguments.count("-f") == 1 and verb == "images" and arguments[1].startswith("reference="):
        arguments = [arguments[1].removeprefix("reference="), *arguments[2:]]
    elif "-f" in arguments and verb == "images":
        return [verb, *arguments], None, "filters"
    return [verb, *arguments], template, None


def render(out, template):
    """The objects of a JSON output in one of docker's templates."""
    objects = json.loads(out) if out.startswith("[") else [json.loads(line) for line in out.splitlines()]
    keys = re.findall(r"\{\{\.(\w+)}}", template)
    form = re.sub(r"\{\{\.(\w+)}}", r"{\1}", template)
    return [form.format(**{key: each[key] for key in keys}) for each in objects]


def words(err):
    """What errors say, without their prefix and the quoted subject."""
    return [SUBJECT.sub("", PREFIX.sub("", line)) for line in err.splitlines()]


def by_image(lines):
    """The lines of each image in their order; images of one time come in any order."""
    found: dict[str, list[str]] = {}
    for line in lines:
        image = re.search(r"[0-9a-f]{12,64}", line)
        found.setdefault(image[0] if image else line, []).append(line)
    return found


def cells(line):
    """The cells of a line of a table, without the time that it is ago, which goes on."""
    return [cell for cell in re.split(r" {3,}", line) if not cell.endswith(" ago")]


def run_step(cli, step):
    """Run a step here, and compare; the differences that were met."""
    command, template, difference = ours(step["cmd"])
    code, out, err = cli(*command)
    if difference is not None:
        assert code == 2, "it is there now: compare what it does"
        assert out == ""
        return {difference}
    assert code == step["exit"]
    met = {"templates"} if template else set()
    lines, wanted = out.splitlines(), step["stdout"].splitlines()
    if template:
        lines, wanted = render(out, template), [line for line in wanted if line]
    elif lines and lines[0].startswith("REPOSITORY"):
        lines, wanted = list(map(cells, lines)), list(map(cells, wanted))
    if command[0] == "images" and not isinstance((lines or [""])[0], list):
        if lines != wanted:
            met.add("order")
        lines, wanted = by_image(lines), by_image(wanted)
    assert lines == wanted
    found, said = words(err), words(step["stderr"])
    for here, there in zip(found, said, strict=True):
        if here != there and there == "reference does not exist":
            met.add("missing")
            assert here == f"{there}: {command[-1]}"
        elif here != there:
            met.add("children")
            assert re.fullmatch(re.escape(there) + ": [0-9a-f]{12}; remove them first", here)
    if err:
        met.add("prefix")
    if " is not a valid repository/tag" in err:
        met.add("subject")
    return met


def run_scenario(cli, store, steps):
    """Run all steps; the differences that were met."""
    met = set()
    for step in steps:
        if "cmd" not in step:
            of = step.get("of") or step["parent_of"]
            image_id = resolve(store, of)
            assert step["value"] == (image_id if "of" in step else store.get_parent(image_id))
        else:
            met |= run_step(cli, step)
            prune(cli, store, step["stdout"])
    return met


def prune(cli, store, out):
    """Remove what ``docker image prune`` has removed. There is no such command here; rmi says the same, but for capitals."""
    done = [line for line in out.splitlines() if re.match("(?:un)?(?:tagged|deleted): ", line)]
    images = [line.removeprefix("deleted: ") for line in done if line.removeprefix("deleted: ") in set(store.map())]
    said = [cli("rmi", "-f", "--no-prune", image).out.lower() for image in images]
    assert "".join(said).splitlines() == done


# Which of the listed differences each scenario meets: one that none meets has no place in the list.
DIFFERENCES = {
    "list": {"templates", "order"},
    "filters": {"templates", "filters"},
    "rmi-tags": {"templates", "order"},
    "rmi-id-two-tags": {"templates", "prefix"},
    "rmi-parent": {"templates", "order", "prefix", "children"},
    "rmi-missing": {"templates", "order", "prefix", "children", "subject"},
    "tag": {"templates", "prefix", "subject"},
    "prune": {"templates", "order", "verbs"},
    "save-errors": {"prefix", "subject", "missing"},
    "history-inspect": {"templates", "prefix"},
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario(cli, store, tmp_path, name):
    def command(*arguments):
        return cli("--content", tmp_path / "content", *arguments)

    assert run_scenario(command, store, SCENARIOS[name]) == DIFFERENCES[name]


def test_the_list_of_differences_is_true():
    assert sorted(LISTED) == sorted({"verbs"}.union(*DIFFERENCES.values()))
