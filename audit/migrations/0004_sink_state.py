from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_tile_root")]

    operations = [
        migrations.CreateModel(
            name="SinkState",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("note", models.TextField(blank=True, help_text="the checkpoint that was published last")),
                ("size", models.BigIntegerField(default=0)),
                ("published", models.BigIntegerField(default=0, help_text="when that was, µs since 1970; 0: never")),
                ("failing_since", models.BigIntegerField(default=0, help_text="µs since 1970; 0: it does not fail")),
                ("attempts", models.IntegerField(default=0, help_text="failed ones in a row")),
                ("error", models.TextField(blank=True)),
            ],
            options={"db_table": "audit_sink"},
        ),
    ]
