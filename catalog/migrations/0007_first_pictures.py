"""The picture that a product had becomes the first of its pictures."""

from itertools import islice

from django.db import migrations

BATCH = 2_000


def copy(apps, schema_editor):
    product_picture = apps.get_model("catalog", "ProductPicture")
    products = apps.get_model("catalog", "Product").objects.exclude(picture="")
    products = products.filter(pictures=None).order_by("pk")
    rows = products.values_list("pk", "picture").iterator(BATCH)
    while batch := list(islice(rows, BATCH)):
        product_picture.objects.bulk_create(
            product_picture(product_id=pk, file=name, position=1) for pk, name in batch
        )


class Migration(migrations.Migration):
    dependencies = [("catalog", "0006_product_pictures")]
    operations = [migrations.RunPython(copy, migrations.RunPython.noop)]
