"""Every role may look at mails and payment notices.

Safe to run again: a group that is there gets the permissions it should have.
"""

from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = ("viewer", "stock editor", "sale manager", "owner")
VIEW = ("view_ordermail", "view_paymentnotice")


def let_roles_look(apps, schema_editor):
    # Permissions are usually made after all migrations, which is too late for this.
    create_permissions(installed_apps.get_app_config("sales"), verbosity=0)
    permissions = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="sales", codename__in=VIEW
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0001_roles"),
        ("sales", "0007_order_mails"),
    ]
    operations = [
        migrations.RunPython(let_roles_look, migrations.RunPython.noop),
    ]
