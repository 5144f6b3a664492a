from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("sales", "0002_claim_id_and_keys")]
    operations = [
        migrations.RemoveField(model_name="flashadjustment", name="closes_at"),
        migrations.RemoveField(model_name="flashadjustment", name="limit_per_buyer"),
    ]
