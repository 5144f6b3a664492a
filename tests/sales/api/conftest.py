import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _quick_passwords_and_no_limits_from_before(settings):
    cache.clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
