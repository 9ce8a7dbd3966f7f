"""What all tests have: the fixtures that imagestore ships, and one setting of Hypothesis for every machine."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("imagestore.testing")  # the contracts assert; tell what they compared
pytest_plugins = ["imagestore.testing.fixtures", "tests.golden.vectors", "tests.archives.recorded"]

# No test here depends on how fast the machine is.
settings.register_profile("imagestore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("imagestore")
