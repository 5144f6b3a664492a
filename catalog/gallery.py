"""The pictures of a product in their order; the first is the one that lists show."""

from django.db import transaction

from catalog.models import Product, ProductPicture


@transaction.atomic
def arrange(product_id: int) -> None:
    """Number a product's pictures from 1, and copy the first to the product.

    The product's row is locked, so of two that save at once the second sees all.
    Safe to repeat.
    """
    product = Product.objects.select_for_update().get(pk=product_id)
    pictures = list(ProductPicture.objects.filter(product=product_id))
    for position, picture in enumerate(pictures, start=1):
        if picture.position != position:
            picture.position = position
            picture.save(update_fields=["position"])
    first = pictures[0].file.name if pictures else ""
    if product.picture.name != first:
        product.picture = first
        product.save(update_fields=["picture", "updated_at"])
