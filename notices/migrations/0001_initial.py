import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="MailPreference",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "mode",
                    models.CharField(
                        choices=[
                            ("urgent", "At once when it is my turn; the rest in a daily digest"),
                            ("digest", "Only a daily digest"),
                            ("off", "No mail; the portal's notifications only"),
                        ],
                        default="urgent",
                        max_length=8,
                    ),
                ),
                ("digest_hour", models.PositiveSmallIntegerField(default=7, help_text="UTC")),
                ("digested_at", models.DateTimeField(blank=True, null=True)),
                (
                    "person",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="mail_preference",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("digest_hour__lt", 24)), name="digest_hour_of_a_day")
                ],
            },
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "event",
                    models.CharField(
                        help_text="stable id of the event: telling twice about it changes nothing", max_length=120
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("turn", "Your turn"),
                            ("mention", "You were mentioned"),
                            ("due", "Due soon"),
                            ("overdue", "Overdue"),
                            ("decision", "A decision on your request"),
                            ("reminder", "An approval runs out"),
                            ("emergency", "Break-glass"),
                            ("finding", "A finding"),
                            ("comment", "A comment"),
                            ("job", "Work finished"),
                            ("policy", "A policy"),
                            ("test", "A test"),
                        ],
                        max_length=12,
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                ("body", models.TextField(blank=True)),
                ("link", models.CharField(blank=True, help_text="path on the portal", max_length=400)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("read_at", models.DateTimeField(blank=True, null=True)),
                (
                    "mail_state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waits to be mailed"),
                            ("sent", "Mailed"),
                            ("unwanted", "Not mailed: no mail is wanted, or there is no address"),
                            ("failed", "Given up: the mail server refused it for good, or for three days"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("mailed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "letter",
                    models.UUIDField(
                        blank=True,
                        editable=False,
                        help_text="the mail it stands in: the same in every try, so is the Message-ID",
                        null=True,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "not_before",
                    models.DateTimeField(
                        blank=True,
                        help_text="until then nobody else sends it: it is being sent, or the server refused it",
                        null=True,
                    ),
                ),
                ("last_error", models.CharField(blank=True, max_length=300)),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notifications",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-pk"],
                "indexes": [
                    models.Index(fields=["person", "-at"], name="notification_of_person"),
                    models.Index(condition=models.Q(("read_at", None)), fields=["person"], name="notification_unread"),
                    models.Index(
                        condition=models.Q(("mail_state", "waiting")), fields=["at"], name="notification_unmailed"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("person", "event"), name="told_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("mail_state", "sent"), ("mailed_at__isnull", False)),
                            models.Q(models.Q(("mail_state", "sent"), _negated=True), ("mailed_at", None)),
                            _connector="OR",
                        ),
                        name="mailed_paired",
                    ),
                ],
            },
        ),
    ]
