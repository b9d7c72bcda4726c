"""Who there is: people and service accounts in one model, roles as lists of permissions, tokens, and proofs of re-authentication."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import AbstractUser, Group, UserManager
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from access.entry.models import AccessPolicy, AccessPolicyPublication, AccessPolicyVersion
from audit.events import Obj

__all__ = [
    "AccessPolicy",
    "AccessPolicyPublication",
    "AccessPolicyVersion",
    "Passkey",
    "PasskeyCeremony",
    "Reauthentication",
    "RefusedAttempts",
    "Role",
    "RoleAssignment",
    "ServiceToken",
    "User",
]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


class UserQuerySet(models.QuerySet["User"]):
    """Questions about people and service accounts."""

    def people(self) -> UserQuerySet:
        """Human beings, who alone can sign."""
        return self.filter(kind=User.Kind.PERSON)

    def services(self) -> UserQuerySet:
        """Service accounts, each owned by a person."""
        return self.filter(kind=User.Kind.SERVICE)

    def active(self) -> UserQuerySet:
        """Those who may act at all."""
        return self.filter(is_active=True)

    def locked(self, pk: int) -> User:
        """The row, locked until the transaction ends."""
        return self.select_for_update().get(pk=pk)


class AccountManager(UserManager["User"]):
    """Django's manager of users with the questions of `UserQuerySet`; migrations do without it."""

    use_in_migrations = False

    def get_queryset(self) -> UserQuerySet:
        """All accounts."""
        return UserQuerySet(self.model, using=self._db)

    def people(self) -> UserQuerySet:
        """See `UserQuerySet.people`."""
        return self.get_queryset().people()

    def services(self) -> UserQuerySet:
        """See `UserQuerySet.services`."""
        return self.get_queryset().services()

    def active(self) -> UserQuerySet:
        """See `UserQuerySet.active`."""
        return self.get_queryset().active()

    def locked(self, pk: int) -> User:
        """See `UserQuerySet.locked`."""
        return self.get_queryset().locked(pk)


class User(AbstractUser):
    """A person or a service account; a service account always has a person who answers for it."""

    class Kind(models.TextChoices):
        """Who is behind the account."""

        PERSON = "person", "Person"
        SERVICE = "service", "Service account"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PERSON)
    display_name = models.CharField(max_length=120, blank=True)
    owner = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="service_accounts")
    description = models.CharField(max_length=300, blank=True)
    session_generation = models.PositiveIntegerField(
        default=0, help_text="counted up to end every session of the account"
    )

    single_keys = models.BooleanField(
        default=True, help_text="whether one key alone does something on a page (WCAG 2.1.4)"
    )

    objects: ClassVar[AccountManager] = AccountManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="person", owner=None) | Q(kind="service", owner__isnull=False),
                name="user_service_has_owner",
            ),
            models.CheckConstraint(condition=Q(kind__in=["person", "service"]), name="user_kind_known"),
        ]

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def initials(self) -> str:
        """Up to two letters for the avatar."""
        words = str(self).replace("-", " ").replace("_", " ").split()
        return "".join(word[0] for word in words[:2]).upper()

    @property
    def is_person(self) -> bool:
        """Whether a human being is behind the account."""
        return self.kind == User.Kind.PERSON

    def get_full_name(self) -> str:
        """The display name; people have one, service accounts are known by their account name."""
        return str(self)

    def get_session_auth_hash(self) -> str:
        """What a session has to carry to be this account's: a new password ends it, and so does a new generation."""
        return self._session_hash(settings.SECRET_KEY)

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """The same under the keys that `SECRET_KEY` replaced."""
        return (self._session_hash(key) for key in settings.SECRET_KEY_FALLBACKS)

    def _session_hash(self, secret: str | bytes) -> str:
        value = f"{self.session_generation}:{self.password}"
        return salted_hmac("access.User.session", value, secret=secret, algorithm="sha256").hexdigest()

    def ledger_ref(self) -> Obj:
        """How the ledger names this account: by number only, since names are personal data."""
        return Obj(kind=self.kind, id=str(self.uuid))


class Role(models.Model):
    """A named list of permissions. Roles grant access; none grants the right to sign (slots and groups do)."""

    name = models.CharField(max_length=80, unique=True)
    description = models.CharField(max_length=300, blank=True)
    permissions = models.JSONField(default=list, help_text="values of access.permissions.Permission")
    gives = models.JSONField(
        default=list,
        blank=True,
        help_text="permissions that its holder may give to others without having them; whoever holds one may give it anyway",
    )
    built_in = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name

    def ledger_ref(self) -> Obj:
        """How the ledger names this role."""
        return Obj(kind="role", id=str(self.pk), name=self.name)


class RoleAssignment(models.Model):
    """A role held by one user or one group: over everything, or on the models of one team (then only what it permits on models)."""

    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="assignments")
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="role_assignments")
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="role_assignments")
    team = models.ForeignKey(
        Group,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="team_role_assignments",
        help_text="the team whose models it is for; empty: everything",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+", help_text="empty: the installation's setup"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, group=None) | Q(user=None, group__isnull=False), name="role_held_by_one"
            ),
            models.UniqueConstraint(
                fields=["role", "user"], condition=Q(user__isnull=False, team=None), name="role_once_per_user"
            ),
            models.UniqueConstraint(
                fields=["role", "group"], condition=Q(group__isnull=False, team=None), name="role_once_per_group"
            ),
            models.UniqueConstraint(
                fields=["role", "user", "team"],
                condition=Q(user__isnull=False, team__isnull=False),
                name="role_once_per_user_and_team",
            ),
            models.UniqueConstraint(
                fields=["role", "group", "team"],
                condition=Q(group__isnull=False, team__isnull=False),
                name="role_once_per_group_and_team",
            ),
        ]


class ServiceTokenQuerySet(models.QuerySet["ServiceToken"]):
    """Questions about tokens."""

    def usable(self, at: datetime) -> ServiceTokenQuerySet:
        """Tokens that let somebody in at this moment."""
        return self.filter(revoked_at=None, expires_at__gt=at, user__is_active=True)


class ServiceToken(models.Model):
    """A service account's credential: shown once, kept as SHA-256, narrowed by scopes and objects, expiring within 90 days."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12, unique=True)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list, help_text="permissions that the token keeps of its account's")
    objects_scope = models.JSONField(default=list, blank=True, help_text="names of registered models; empty means all")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+", help_text="empty: the installation's setup"
    )
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="to the minute")
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="empty: the installation's setup",
    )

    objects = ServiceTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_by=None) | Q(revoked_at__isnull=False), name="token_revoked_paired"
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="token_expires_after_issue"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def ledger_ref(self) -> Obj:
        """How the ledger names this token."""
        return Obj(kind="token", id=self.prefix, name=self.name)

    def state(self, at: datetime) -> str:
        """`revoked`, `expired`, `inactive` (its account is) or `active`."""
        if self.revoked_at:
            return "revoked"
        if self.expires_at <= at:
            return "expired"
        return "active" if self.user.is_active else "inactive"


class RefusedAttempts(models.Model):
    """Attempts of one kind from one place that no credential stood behind, for as long as they are counted (see `attempts`)."""

    source = models.CharField(max_length=64, blank=True, help_text="an address or a network")
    action = models.CharField(max_length=64)
    thing = models.CharField(
        max_length=128, help_text="what they named: a token or an account of ours, or its kind alone"
    )
    waiting = models.PositiveBigIntegerField(default=0, help_text="attempts that no entry has counted yet")
    noted_at = models.DateTimeField(null=True, help_text="when the last entry was written")
    kind = models.CharField(max_length=40, blank=True)
    identifier = models.CharField(max_length=80, blank=True)
    name = models.CharField(max_length=200, blank=True)
    why = models.CharField(max_length=40, blank=True)
    address = models.CharField(max_length=45, blank=True, help_text="of the newest attempt; gone with the row")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "action", "thing"], name="attempts_counted_once")]

    def __str__(self) -> str:
        return f"{self.waiting} × {self.action} from {self.source or 'an unknown address'}"


class ReauthenticationQuerySet(models.QuerySet["Reauthentication"]):
    """Questions about proofs."""

    def locked(self, pk: int) -> Reauthentication:
        """The row, locked until the transaction ends."""
        return self.select_for_update().get(pk=pk)


class Reauthentication(models.Model):
    """Proof that a person confirmed at one moment that it was them; a sign-off consumes one no older than five minutes."""

    class Method(models.TextChoices):
        """How the person confirmed it."""

        PASSWORD = "password", "Password"
        TOTP = "totp", "Authenticator code"
        PASSKEY = "passkey", "Passkey"
        IDENTITY_PROVIDER = "identity_provider", "Identity provider"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="reauthentications")
    method = models.CharField(max_length=20, choices=Method.choices)
    challenge = models.CharField(
        max_length=64, blank=True, help_text="passkey: SHA-256 of the one statement that the assertion signs"
    )
    nonce = models.CharField(max_length=32, blank=True, help_text="passkey: the nonce of that statement")
    assertion = models.JSONField(
        null=True, blank=True, help_text="passkey: the WebAuthn assertion, checkable by anyone"
    )
    enrolment = models.JSONField(
        null=True, blank=True, help_text="passkey: the registry's statement (DSSE) whose key made the assertion"
    )
    at = models.DateTimeField(default=timezone.now)
    consumed_at = models.DateTimeField(null=True, blank=True)

    objects = ReauthenticationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(consumed_at=None) | Q(consumed_at__gte=F("at")), name="reauthentication_consumed_after"
            ),
            models.CheckConstraint(
                condition=Q(method="passkey", assertion__isnull=False, enrolment__isnull=False)
                & ~Q(challenge="")
                & ~Q(nonce="")
                | ~Q(method="passkey") & Q(challenge="", nonce="", assertion__isnull=True, enrolment__isnull=True),
                name="passkey_signs_one_statement",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_method_display()} at {self.at:%Y-%m-%d %H:%M:%S} UTC"


class PasskeyQuerySet(models.QuerySet["Passkey"]):
    """Questions about passkeys."""

    def usable(self) -> PasskeyQuerySet:
        """Those that can sign: neither removed here nor taken away from the login."""
        known = Authenticator.objects.filter(type=Authenticator.Type.WEBAUTHN)
        return self.filter(removed_at=None, authenticator_pk__in=known.values("pk"))


class Passkey(models.Model):
    """A person's public key; `statement` binds it to them for everybody. The row outlives the key: what it signed stays provable."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="passkeys")
    authenticator_pk = models.BigIntegerField(
        unique=True, help_text="the same key where allauth knows it; no foreign key, since its migrations follow ours"
    )
    name = models.CharField(max_length=100)
    credential_id = models.TextField(unique=True, help_text="base64url")
    public_key = models.TextField(help_text="COSE key in base64url")
    rp_id = models.CharField(max_length=253)
    sign_count = models.PositiveBigIntegerField(
        default=0, help_text="the authenticator's counter at its last signature"
    )
    statement = models.JSONField(help_text="DSSE envelope: the registry's statement whose key it is")
    enrolled_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = PasskeyQuerySet.as_manager()

    class Meta:
        ordering = ["enrolled_at", "pk"]

    def __str__(self) -> str:
        return self.name


class PasskeyCeremony(models.Model):
    """A statement that waits for a person's passkey: `challenge` is its SHA-256. Good for five minutes, once."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    challenge = models.CharField(max_length=64, unique=True)
    nonce = models.CharField(max_length=32)
    at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.challenge[:12]} for {self.user}"
