"""A store that others are changing is verified all the same, and nothing is told of it."""

from __future__ import annotations

import io
import itertools
import threading

from imagestore.store import Store
from imagestore.testing.makers import make_config, make_layer
from imagestore.verify import verify

ROUNDS = 12


def test_what_others_change_meanwhile_is_no_damage(store, tmp_path):
    """Layers and contents come and go between the pages, and between a row and the look for its file."""
    url = store.engine.url.render_as_string(hide_password=False)
    ended = threading.Event()
    errors, changed = [], []

    def change():
        try:
            with Store.open(url, content=tmp_path / "content") as other:
                for number in itertools.count():
                    if ended.is_set():
                        return
                    with other.lease() as lease:
                        lower = other.layers.register(io.BytesIO(make_layer("lower")), lease=lease)
                        upper = other.layers.register(io.BytesIO(make_layer(number)), lower.chain_id, lease=lease)
                        config = make_config(number, layers=[lower.diff_id, upper.diff_id])
                        image = other.create(config)
                        other.references.add_tag(f"app:{number}", image)
                    other.collect()
                    other.delete(image)
                    changed.append(image)
        except BaseException as error:
            errors.append(error)
            raise

    with Store.open(url, content=tmp_path / "content") as verified:
        kept = verified.layers.register(io.BytesIO(make_layer("kept")))
        verified.create(make_config("kept", layers=[kept.diff_id]))
        thread = threading.Thread(target=change)
        thread.start()
        try:
            while len(changed) < ROUNDS and not errors:
                assert list(verify(verified, content=True)) == []
                assert list(verify(verified, repair=True)) == []
        finally:
            ended.set()
            thread.join()
        assert errors == []
        assert list(verify(verified, content=True)) == []


def test_a_file_that_goes_between_its_row_and_the_look_for_it(store, tmp_path, monkeypatch):
    """Its row went before, and is looked for again."""
    with Store(store.engine, content=tmp_path / "content") as verified:
        layer = verified.layers.register(io.BytesIO(make_layer()))
        size = verified.content.size

        def released(name):
            verified.layers.release(layer)
            return size(name)

        monkeypatch.setattr(verified.content, "size", released)
        assert list(verify(verified)) == []
        assert list(verified.content.names()) == []
