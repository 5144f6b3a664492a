"""Every role may look at the events of flash sales. Safe to run again."""

from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = ("viewer", "stock editor", "sale manager", "owner")


def let_roles_look(apps, schema_editor):
    # Permissions are usually made after all migrations, which is too late for this.
    create_permissions(installed_apps.get_app_config("sales"), verbosity=0)
    permission = apps.get_model("auth", "Permission").objects.get(
        content_type__app_label="sales", codename="view_flashevent"
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_letters"), ("sales", "0001_initial")]
    operations = [
        migrations.RunPython(let_roles_look, migrations.RunPython.noop),
    ]
