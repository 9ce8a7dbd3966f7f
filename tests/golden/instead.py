"""What is done here where Go's answer in store.json is a defect: the results that take the place of Go's, by operation.

``docs/from-go.md`` names each of these scenarios with the reason; a test holds the two against each other. "sql" is a Store on a
database, "files" one that is restored over Docker's directory. A scenario that is left out for one of them answers there as Go does.
"""

from __future__ import annotations

from imagestore.errors import (
    ImageNotFoundError,
    InvalidDigestError,
    ParentCycleError,
    UnsupportedPlatformError,
)

A = "sha256:2428e04a028d239d4ab3f1e3e775e3f003d6068b0acc6aaf4bf5b281406e1aa8"  # {"comment": "a", "rootfs": {"type": "layers"}}
D = "sha256:8e68aae5ab38514110e2a31612a893e22036250c397b1fbf66f17049a1a4608d"  # the same with "d"
ONE_LAYER = "sha256:9e3112bb1c42fcb1a79790b208b69d65cc7f33290ddf8bde4cff26842223722d"
TWO_LAYERS = "sha256:3e470f06090ba66f16cc5122f3e6b86ab8d0c3b54a8d32bb6367679db880481f"
MISSING_CHAIN = "sha256:9c7a0b8937394482a0afcc4bef0ca0aba0d74084bd9f60198ec7fac434e5436d"

OK = {"ok": True}


def ids(*image_ids, parents=None):
    return {"ids": sorted(image_ids), **({"parents": parents} if parents else {})}


def raises(kind):
    return {"raises": kind}


def without_parent(result):
    image = result["image"]
    marshalled = image["marshal"].replace(f'"parent":"{image["parent"]}",', "")
    return {"image": {**image, "marshal": marshalled, "parent": ""}}


def without_image(image_id):
    return lambda result: {"tree": [entry for entry in result["tree"] if image_id[7:] not in entry["path"]]}


def both(results):
    return {"sql": results, "files": results}


LAYER_MISSING = {7: raises(ImageNotFoundError), 11: raises(ImageNotFoundError), 12: ids()}

INSTEAD = {
    # A create that fails leaves nothing: no blob to get, to link or to restore.
    "create/layer_missing": {
        "sql": LAYER_MISSING,
        "files": {**LAYER_MISSING, 13: without_image(TWO_LAYERS)},
    },
    "restore/uncommitted_by_failed_create_appears_after_fix": both({5: OK, 6: ids(), 7: ids(), 8: {"len": 0}}),
    # No image becomes its own ancestor.
    "create/twice": both({5: raises(ParentCycleError), 7: ids(), 8: ids(A), 9: ids(A)}),
    "parent/self": both(
        {3: raises(ParentCycleError), 4: {"parent": None}, 5: ids(), 6: without_parent, 7: ids(A), 8: ids(A)}
    ),
    "delete/self_parent": both({3: raises(ParentCycleError)}),
    # A child that the store does not know is refused, and changes nothing.
    "parent/unknown_child": both({4: ids(), 6: ids(A)}),
    "parent/unknown_child_then_reopen": both({4: ids(), 5: ids(A)}),
    "get/backend_blob_not_in_store": {
        "sql": {
            4: {"id": D},
            5: {"released": None},
            8: raises(ImageNotFoundError),
            9: raises(ImageNotFoundError),
            10: ids(),
            11: ids(A),
        },
        "files": {8: raises(ImageNotFoundError), 9: {"parent": None}, 10: ids(), 11: ids(A)},
    },
    # What is no ID is refused where Go panics.
    "last_updated/missing_image": both({6: {"time": None}, 7: raises(InvalidDigestError)}),
    # An operating system without a layer store is refused where Go panics.
    "create/os_Linux_capital": both({2: raises(UnsupportedPlatformError)}),
    "create/os_linux_no_store": both({2: raises(UnsupportedPlatformError)}),
    "restore/os_Linux_capital_no_store": both({3: OK}),
    # On a database, opening looks at no image and asks no layer store, and a blob that is an image is one at once.
    "search/blob_only_in_backend": {"sql": {3: {"id": A}, 4: {"id": A}}},
    "restore/as_test_restore": {"sql": {5: OK}},
    "restore/layer_missing": {
        "sql": {
            5: OK,
            7: ids(A, ONE_LAYER, TWO_LAYERS, parents={ONE_LAYER: TWO_LAYERS}),
            8: {"len": 3},
            10: {"id": TWO_LAYERS},
            11: {"released": None, "layer_calls": [["get", "linux", MISSING_CHAIN]]},
            12: {"parent": None},
        }
    },
    "restore/layer_error_then_recover": {"sql": {3: OK, 5: OK}},
}
