from django.db import migrations, models

FIELD = {
    "default": False,
    "help_text": "Let shoppers in one after the other, as fast as there are units.",
    "verbose_name": "waiting room",
}


class Migration(migrations.Migration):
    dependencies = [("sales", "0009_claim_counts")]

    operations = [
        migrations.AddField(
            model_name="flashsale",
            name="has_waiting_room",
            field=models.BooleanField(**FIELD),
        ),
        migrations.AddField(
            model_name="historicalflashsale",
            name="has_waiting_room",
            field=models.BooleanField(**FIELD),
        ),
        migrations.AlterField(
            model_name="claimcount",
            name="answer",
            field=models.CharField(
                choices=[
                    ("admitted", "Admitted"),
                    ("sold_out", "Sold out"),
                    ("all_held", "All held by others"),
                    ("limit_reached", "Over the limit per buyer"),
                    ("not_started", "Too early"),
                    ("ended", "Too late"),
                    ("paused", "Sale paused"),
                    ("conflict", "Order id used twice"),
                    ("waiting_room", "Past the waiting room"),
                    ("not_loaded", "Counters not verified"),
                    ("unsure", "Answer lost on the way"),
                ],
                max_length=16,
            ),
        ),
    ]
