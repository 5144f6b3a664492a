"""What a price and a quantity may be, the same in every table."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator

TOTAL_DIGITS = 20  # room for a hundred thousand lines of the dearest product
PRICE_RANGE = [MinValueValidator(0), MaxValueValidator(settings.SHOP_MAX_PRICE)]
QUANTITY_RANGE = [MinValueValidator(1), MaxValueValidator(settings.SHOP_MAX_QUANTITY)]
