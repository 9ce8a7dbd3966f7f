"""Every place for content, held against its contract."""

from __future__ import annotations

import pytest

from imagestore.content.local import LocalContent
from imagestore.testing.content import ContentContract


class TestLocalContent(ContentContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path_factory):
        self.new_folder = lambda: tmp_path_factory.mktemp("place") / "deeper" / "content"

    def make_content(self):
        return LocalContent(self.new_folder())

    def reopen(self, content):
        return LocalContent(str(content))
