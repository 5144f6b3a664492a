import pytest

from sales import sync
from tests.faults import invariants


@pytest.fixture(autouse=True)
def _all_is_well(request):
    """Whatever was recovered has to be right by all invariants."""
    for name in ("transactional_db", "sale_redis"):
        if name in request.fixturenames or name == "transactional_db":
            request.getfixturevalue(name)
    yield
    if "own_sale_redis" not in request.fixturenames:
        for item_id in sync.loaded_items():
            sync.drain(item_id)
        assert invariants.violations() == []
