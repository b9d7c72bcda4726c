"""The search index knows the request of an entry and finds what was refused or failed.

The column is added in SQL: through Django, SQLite would build the table anew and lose the triggers that guard it.
"""

from typing import Any

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from audit.payload import decode
from audit.store import decompress
from audit.tiles import TILE_WIDTH


def fill(apps: StateApps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Write the rows of each bundle anew with the request that the entry names: rows of the index may go and never change."""
    bundles, rows = apps.get_model("audit", "Bundle").objects, apps.get_model("audit", "IndexRow").objects
    widest: dict[int, int] = {}
    for n, width in bundles.values_list("n", "w"):
        widest[n] = max(width, widest.get(n, 0))
    for n, width in sorted(widest.items()):
        payloads = decompress(bytes(bundles.get(n=n, w=width).entries))
        of_bundle = rows.filter(seq__gte=n * TILE_WIDTH, seq__lt=(n + 1) * TILE_WIDTH)
        known: list[Any] = list(of_bundle)
        for row in known:
            row.req = str(decode(payloads[row.seq % TILE_WIDTH])["req"]).replace("\0", "\ufffd")[:200]
        of_bundle.delete()
        rows.bulk_create(known)


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_integrity")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE audit_index ADD COLUMN req varchar(200) DEFAULT '' NOT NULL",
                    "ALTER TABLE audit_index DROP COLUMN req",
                )
            ],
            state_operations=[
                migrations.AddField(
                    "indexrow",
                    "req",
                    models.CharField(
                        db_default="", help_text="the id of the request, where there was one", max_length=200
                    ),
                )
            ],
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddIndex(
            "indexrow",
            models.Index(
                condition=models.Q(("outcome", "ok"), _negated=True),
                fields=["outcome", "seq"],
                name="audit_index_outcome",
            ),
        ),
        migrations.AddIndex(
            "indexrow",
            models.Index(condition=models.Q(("req", ""), _negated=True), fields=["req", "seq"], name="audit_index_req"),
        ),
    ]
