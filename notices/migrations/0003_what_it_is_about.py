"""What a notification names is kept with it, so that its mail is checked against the rights of the moment in which it leaves."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notices", "0002_ledger_kind"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="notification",
            name="about_id",
            field=models.BigIntegerField(
                blank=True, help_text="the row of it that one has to be able to see", null=True
            ),
        ),
        migrations.AddField(
            model_name="notification",
            name="about_type",
            field=models.CharField(
                blank=True,
                help_text="label of the model class that it names: this room stands below registry",
                max_length=100,
            ),
        ),
        migrations.AlterField(
            model_name="notification",
            name="mail_state",
            field=models.CharField(
                choices=[
                    ("waiting", "Waits to be mailed"),
                    ("sent", "Mailed"),
                    ("unwanted", "Not mailed: no mail is wanted, there is no address, or it may no longer be seen"),
                    ("failed", "Given up: the mail server refused it for good, or for three days"),
                ],
                default="waiting",
                max_length=8,
            ),
        ),
        migrations.AddConstraint(
            model_name="notification",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("about_id", None), ("about_type", "")),
                    models.Q(models.Q(("about_type", ""), _negated=True), ("about_id__isnull", False)),
                    _connector="OR",
                ),
                name="about_paired",
            ),
        ),
    ]
