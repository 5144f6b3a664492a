from django.db import migrations, models

KINDS = [
    ("low", "Low stock"),
    ("out", "Out of stock"),
    ("back", "Back in stock"),
    ("stays_out", "Stays out of stock"),
    ("sold_out", "Flash-sale product sold out"),
    ("drift", "Audit found a difference"),
    ("doubt", "Live counters in doubt"),
    ("sync_lag", "Sync lags behind"),
    ("payment", "Payment to look at"),
]


class Migration(migrations.Migration):
    dependencies = [("catalog", "0003_alerts_and_webhooks")]
    operations = [
        migrations.AlterField(
            model_name=name,
            name="kind",
            field=models.CharField(choices=KINDS, max_length=10),
        )
        for name in ("alert", "alertrule")
    ]
