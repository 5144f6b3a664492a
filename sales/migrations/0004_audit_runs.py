from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sales", "0003_smaller_adjustments")]
    operations = [
        migrations.CreateModel(
            name="AuditRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("holds", "Everything holds"),
                            ("drift", "Drift"),
                            ("unknown", "Not everything could be checked"),
                        ],
                        max_length=8,
                    ),
                ),
                ("is_deep", models.BooleanField(default=True)),
                ("result", models.JSONField()),
                ("created_at", models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
            options={"ordering": ["-pk"]},
        ),
    ]
