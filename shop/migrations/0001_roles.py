"""Roles of the dashboard as groups: what each may see and do.

Safe to run again: a group that is there gets the permissions it should have.
"""

from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

VIEW = {
    "catalog": [
        "view_alert",
        "view_alertrule",
        "view_category",
        "view_product",
        "view_stock",
        "view_stockmovement",
        "view_statuschange",
        "view_store",
        "view_thresholdchange",
    ],
    "sales": [
        "view_auditrun",
        "view_flashsale",
        "view_flashsaleitem",
        "view_order",
        "view_orderevent",
        "view_orderline",
        "view_payment",
        "view_saletransition",
    ],
}
EDIT_STOCK = {
    "catalog": [
        "add_category",
        "add_product",
        "change_alert",
        "change_category",
        "change_product",
        "change_stock",
        "change_store",
    ]
}
MANAGE_SALES = {
    "sales": ["add_flashsale", "change_flashsale", "delete_flashsale", "change_order"]
}
OWN = {
    "auth": [
        "add_user",
        "change_user",
        "delete_user",
        "view_user",
        "view_group",
    ],
    "catalog": [
        "add_alertrule",
        "change_alertrule",
        "delete_alertrule",
        "add_webhookendpoint",
        "change_webhookendpoint",
        "delete_webhookendpoint",
        "view_webhookendpoint",
        "view_webhookdelivery",
        "delete_category",
    ],
    "django_rq": ["admin"],
}
ROLES = {
    "viewer": [VIEW],
    "stock editor": [VIEW, EDIT_STOCK],
    "sale manager": [VIEW, MANAGE_SALES],
    "owner": [VIEW, EDIT_STOCK, MANAGE_SALES, OWN],
}


def make_roles(apps, schema_editor):
    # Permissions are usually made after all migrations, which is too late for this.
    for label in ("auth", "catalog", "sales", "django_rq"):
        create_permissions(installed_apps.get_app_config(label), verbosity=0)
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    for name, parts in ROLES.items():
        group, _created = group_model.objects.get_or_create(name=name)
        for part in parts:
            for label, codenames in part.items():
                found = permission_model.objects.filter(
                    content_type__app_label=label, codename__in=codenames
                )
                group.permissions.add(*found)


def drop_roles(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("catalog", "0002_append_only_ledger"),
        ("sales", "0001_initial"),
        ("django_rq", "0003_alter_dashboard_permission_names"),
    ]
    operations = [migrations.RunPython(make_roles, drop_roles)]
