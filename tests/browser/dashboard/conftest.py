import pytest

from tests.factories import make_staff


@pytest.fixture
def owner():
    return make_staff("owner")
