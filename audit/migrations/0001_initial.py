from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Anchor",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "size", "sink", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("size", models.BigIntegerField()),
                ("sink", models.CharField(max_length=40)),
                ("receipt", models.TextField()),
                ("t", models.BigIntegerField(help_text="µs since 1970")),
            ],
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("size", models.BigIntegerField(primary_key=True, serialize=False)),
                ("t", models.BigIntegerField(help_text="when it was signed, µs since 1970")),
                ("note", models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name="Private",
            fields=[
                ("seq", models.BigIntegerField(primary_key=True, serialize=False)),
                ("disclosures", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="Quarantined",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("t", models.BigIntegerField(help_text="when it was refused, µs since 1970")),
                ("why", models.TextField()),
                ("pending_id", models.BigIntegerField()),
                ("mac", models.TextField()),
                ("payload", models.BinaryField()),
                ("private", models.BinaryField()),
            ],
            options={
                "db_table": "audit_quarantine",
            },
        ),
        migrations.CreateModel(
            name="Tile",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level", "n", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("level", models.IntegerField()),
                ("n", models.BigIntegerField()),
                ("hashes", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="Bundle",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey("n", "w", blank=True, editable=False, primary_key=True, serialize=False),
                ),
                ("n", models.BigIntegerField()),
                ("w", models.IntegerField()),
                ("entries", models.BinaryField(help_text="zstd of a tlog-tiles entry bundle")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("n__gte", 0), ("w__gte", 1), ("w__lte", 256)), name="audit_bundle_width"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="IndexRow",
            fields=[
                ("seq", models.BigIntegerField(primary_key=True, serialize=False)),
                ("t", models.BigIntegerField(help_text="µs since 1970")),
                ("action", models.CharField(max_length=200)),
                ("actor_kind", models.CharField(max_length=200)),
                ("actor_id", models.CharField(max_length=200)),
                ("obj_kind", models.CharField(max_length=200)),
                ("obj_id", models.CharField(max_length=200)),
                ("obj_name", models.CharField(max_length=200)),
                ("outcome", models.CharField(max_length=200)),
                ("writer", models.CharField(max_length=200)),
                ("n", models.BigIntegerField()),
            ],
            options={
                "db_table": "audit_index",
                "indexes": [
                    models.Index(fields=["obj_kind", "obj_id", "seq"], name="audit_index_obj"),
                    models.Index(fields=["obj_name", "seq"], name="audit_index_obj_name"),
                    models.Index(fields=["actor_id", "seq"], name="audit_index_actor"),
                    models.Index(fields=["action", "seq"], name="audit_index_action"),
                    models.Index(fields=["t"], name="audit_index_t"),
                ],
                "constraints": [models.UniqueConstraint(fields=("writer", "n"), name="audit_index_writer_n")],
            },
        ),
        migrations.CreateModel(
            name="Pending",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("mac", models.TextField()),
                ("payload", models.BinaryField()),
                ("private", models.BinaryField()),
                ("prompt", models.BooleanField(help_text="somebody waits for the receipt")),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("prompt", True)), fields=["id"], name="audit_pending_prompt")
                ],
            },
        ),
    ]
