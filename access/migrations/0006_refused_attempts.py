"""Attempts without a valid credential are counted by where they come from; the time of a token's last refusal goes with it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0005_ledger_acknowledged"),
    ]

    operations = [
        migrations.RemoveField(
            model_name="servicetoken",
            name="last_refused_at",
        ),
        migrations.CreateModel(
            name="RefusedAttempts",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(blank=True, help_text="an address or a network", max_length=64)),
                ("action", models.CharField(max_length=64)),
                (
                    "thing",
                    models.CharField(
                        help_text="what they named: a token or an account of ours, or its kind alone", max_length=128
                    ),
                ),
                (
                    "waiting",
                    models.PositiveBigIntegerField(default=0, help_text="attempts that no entry has counted yet"),
                ),
                ("noted_at", models.DateTimeField(help_text="when the last entry was written", null=True)),
                ("kind", models.CharField(blank=True, max_length=40)),
                ("identifier", models.CharField(blank=True, max_length=80)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("why", models.CharField(blank=True, max_length=40)),
                (
                    "address",
                    models.CharField(blank=True, help_text="of the newest attempt; gone with the row", max_length=45),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("source", "action", "thing"), name="attempts_counted_once")
                ],
            },
        ),
    ]
