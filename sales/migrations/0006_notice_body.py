from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sales", "0005_tokens_answers_notices")]
    operations = [
        migrations.AddField(
            model_name="paymentnotice",
            name="body",
            field=models.TextField(blank=True, help_text="As it came."),
        ),
    ]
