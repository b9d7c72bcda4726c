"""Single-key shortcuts are a choice of the person, not of one browser."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """One column; whoever said nothing has them on."""

    dependencies = [("access", "0003_cache_table")]
    operations = [
        migrations.AddField(
            model_name="user",
            name="single_keys",
            field=models.BooleanField(
                default=True, help_text="whether one key alone does something on a page (WCAG 2.1.4)"
            ),
        )
    ]
