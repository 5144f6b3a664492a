import pytest
from django.contrib.auth.models import User

from tests.factories import make_staff


@pytest.fixture
def viewer(client):
    """Sees everything of the catalog, may change nothing."""
    client.force_login(make_staff("viewer"))
    return client


@pytest.fixture
def shopper(client):
    client.force_login(User.objects.create_user("shopper@example.org"))
    return client
