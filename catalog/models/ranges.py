"""How many units a field may hold, the same in every table."""

from django.conf import settings
from django.core.validators import MaxValueValidator

QUANTITY_LIMIT = MaxValueValidator(settings.SHOP_MAX_QUANTITY)
