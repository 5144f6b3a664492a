import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path():
    """A directory PostgreSQL can reach as root, unlike those that pytest locks up."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name:
        yield Path(name)
