"""Django's settings: the rooms wired together, read from `config.environment` once. Knows no rules of the product."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import django_stubs_ext
from csp.constants import NONCE, NONE, SELF

from config.environment import BASE_DIR, Environment, database
from config.logging import logging_config
from countersign.proof.webauthn import LOOPBACK
from foundation.outgoing import Reach

django_stubs_ext.monkeypatch()  # lets annotated generics such as ModelForm[Thresholds] be written at run time

ENV = Environment()
VAR_DIR: Path = ENV.var_dir
DEBUG = ENV.debug
SECRET_KEY = ENV.secret("secret_key", ENV.secret_key)
ALLOWED_HOSTS = [host.strip() for host in ENV.allowed_hosts.split(",") if host.strip()]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "guardian",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "axes",
    "csp",
    "django_htmx",
    "template_partials.apps.SimpleAppConfig",
    "django_cotton.apps.SimpleAppConfig",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_prometheus",
    "django_structlog",
    "foundation",
    "audit",
    "access",
    "jobs",
    "notices",
    "datasets",
    "registry",
    "reviews",
    "training",
    "serving",
    "monitoring",
    "reports",
    "config",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "access.middleware.PrincipalMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "config.recording.OnRecord",
    "config.middleware.SignInFirst",
    "config.middleware.RefusalMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

_LOADERS: list[Any] = [
    (
        "template_partials.loader.Loader",
        [
            (
                "django.template.loaders.cached.Loader",
                [
                    "django_cotton.cotton_loader.Loader",
                    "django.template.loaders.filesystem.Loader",
                    "django.template.loaders.app_directories.Loader",
                ],
            )
        ],
    )
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": _LOADERS,
            "builtins": [
                "django_cotton.templatetags.cotton",
                "template_partials.templatetags.partials",
                "foundation.templatetags.countersign",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "config.context.portal",
            ],
        },
    }
]
COTTON_DIR = "components"

DATABASES = {"default": database(ENV.database_url, VAR_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# People and sessions
AUTH_USER_MODEL = "access.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
GUARDIAN_RAISE_403 = False
ANONYMOUS_USER_NAME = None
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "reviews:inbox"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_ADAPTER = "access.adapter.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = False  # a session ends with the browser, at the latest when access.timeouts says so
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# Per address: slows a spray over many names. Per key (a name, or a person's second factor): axes locks name and address long before.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,20/900s/key"}
MFA_SUPPORTED_TYPES = ["webauthn", "totp", "recovery_codes"]
MFA_ADAPTER = "access.adapter.MfaAdapter"
MFA_FORMS = {"add_webauthn": "access.mfa_forms.AddPasskey", "edit_webauthn": "access.mfa_forms.RenamePasskey"}
MFA_WEBAUTHN_USER_VERIFICATION = "required"
# Only for a portal at http on this very machine, where no name could be had by anybody else; the exact origin is checked anyhow.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = urlsplit(ENV.origin).scheme == "http" and urlsplit(ENV.origin).hostname in LOOPBACK
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_RESET_ON_SUCCESS = True
AXES_IPWARE_PROXY_COUNT = ENV.trusted_proxies
AXES_CLIENT_IP_CALLABLE = "access.clients.address_of_request"  # counts the trusted proxies from the right
AXES_LOCKOUT_CALLABLE = "access.lockout.locked_out"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # so that the time the page names stays true
AXES_DISABLE_ACCESS_LOG = True  # logins are in the ledger, where names and addresses can be erased
AXES_ENABLE_ADMIN = False
SESSION_COOKIE_HTTPONLY = True
SESSION_SECONDS = ENV.session_hours * 3600  # counted from the login, see access.timeouts
SESSION_IDLE_SECONDS = ENV.session_idle_minutes * 60
SESSION_COOKIE_AGE = (
    SESSION_SECONDS + 86400
)  # a day longer is known whose session it was, so that the next login can say why it ended
SECURE_COOKIES = ENV.origin.startswith("https://")
SESSION_COOKIE_SECURE = SECURE_COOKIES
CSRF_COOKIE_SECURE = SECURE_COOKIES
SECURE_SSL_REDIRECT = False  # the proxy in front redirects; a redirect here would break the API's clients
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_COOKIES else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_COOKIES
SECURE_HSTS_PRELOAD = SECURE_COOKIES
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENV.trusted_proxies else None
SECURE_REFERRER_POLICY = "same-origin"
CSRF_TRUSTED_ORIGINS = [ENV.origin]
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],  # the nonce is for htmx's hx-csp extension; nothing inline carries one
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}

# Files
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "assets"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR_DIR / "media"}},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = [*("jpg", "png", "ico", "webp", "zip", "gz", "br", "woff", "woff2"), "map"]
# In the database, which all processes share: an authenticator code is used up, and a rate is counted, for all of them.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "access_cache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}
ARTIFACT_DIR = VAR_DIR / "artifacts"
DATASET_DIR = VAR_DIR / "datasets"
ACCEL_PREFIX = ENV.accel_prefix
MAX_FILE_BYTES = ENV.max_file_bytes
MAX_VERSION_BYTES = ENV.max_version_bytes
MAX_VERSION_FILES = ENV.max_version_files
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024**2

# Keys and the ledger
SECRETS_DIR = ENV.secrets_dir
ACCESS_FORBIDDEN_DUTIES = ENV.forbidden_duties
REGISTRY_KEY_FILE = SECRETS_DIR / "registry-key.pem"
MODEL_SIGNING_KEY_FILE = SECRETS_DIR / "model-signing-key.pem"  # EC P-256, for model.sig
AUDIT_LOG_KEY_FILE = SECRETS_DIR / "ledger-key.pem"
AUDIT_LOG_ORIGIN = ENV.ledger_origin
AUDIT_STATE_FILE = VAR_DIR / "ledger" / "state"
AUDIT_ANCHOR_DIR = VAR_DIR / "ledger" / "anchors"
AUDIT_ARCHIVE_DIR = Path(ENV.ledger_archive or VAR_DIR / "ledger" / "archive")
AUDIT_ANCHORS = ENV.anchors
AUDIT_STREAMS = ENV.audit_streams
AUDIT_NO_OUTSIDE_ANCHOR = ENV.no_outside_anchor
# In production others reach the portal; a trial on one machine has nobody to prove anything to.
AUDIT_IN_PRODUCTION = not DEBUG and not {urlsplit(ENV.origin).hostname, ENV.host} <= LOOPBACK
AUDIT_SINK_ALERT_MINUTES = 15
AUDIT_INTEGRITY_SECONDS = 10.0  # how old the banner's knowledge of the ledger may be
MFA_KEY = ENV.secret("mfa_key", ENV.mfa_key)  # encrypts the secrets of authenticators and webhooks in the database
AUDIT_MAC_KEY = ENV.secret("audit_mac_key", ENV.audit_mac_key).encode()
AUDIT_MAC_KEY_ID = ENV.audit_mac_key_id
AUDIT_OLD_MAC_KEYS = {key_id: key.encode() for key_id, key in ENV.audit_old_mac_keys.items()}

# Neighbours
PORTAL_URL = ENV.origin
MLFLOW_URL = ENV.mlflow_origin
NEW_EXPERIMENTS = ENV.new_experiments
SCORING_URL = ENV.scoring_origin
MLFLOW_TRACKING_URI = f"http://{ENV.host}:{ENV.mlflow_port}"
TRAINING_TOKEN_FILE = SECRETS_DIR / "training-worker.token"
SCORING_TOKEN_FILE = SECRETS_DIR / "scoring-worker.token"
PREDICTION_LOG_DIR = VAR_DIR / "predictions"

# Celery: JSON only, ids only; the state of work is in our own table (see jobs)
CELERY_BROKER_URL = ENV.broker
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {
        "data_folder_in": str(VAR_DIR / "run" / "queue"),
        "data_folder_out": str(VAR_DIR / "run" / "queue"),
        "control_folder": str(VAR_DIR / "run" / "control"),
    }
    if ENV.broker.startswith("filesystem:")
    else {"visibility_timeout": 6 * 3600, "unacked_restore_throttle": 1}
)
CELERY_BEAT_SCHEDULE_FILENAME = str(ENV.run_dir / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    "sweep-jobs": {"task": "jobs.sweep", "schedule": 5.0},
    "count-predictions": {"task": "monitoring.tick", "schedule": 10.0},
    "decide-by-time": {"task": "reviews.tick", "schedule": 10.0},
    "deliver-notices": {"task": "notices.deliver", "schedule": 5.0},
    "deliver-webhooks": {"task": "notices.deliver_webhooks", "schedule": 5.0},
    "tidy-webhooks": {"task": "notices.tidy_webhooks", "schedule": 3600.0},
    "watch-ledger": {"task": "notices.watch", "schedule": 60.0},
    "verify-ledger": {"task": "audit.watch", "schedule": 60.0},
    "record-refused-attempts": {"task": "access.record_attempts", "schedule": 60.0},
}

# Mail
_MAIL = urlsplit(ENV.email_url)
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend" if ENV.email_url else "django.core.mail.backends.console.EmailBackend"
)
EMAIL_HOST = _MAIL.hostname or "localhost"
EMAIL_PORT = _MAIL.port or 25
EMAIL_HOST_USER = unquote(_MAIL.username or "")
EMAIL_HOST_PASSWORD = unquote(_MAIL.password or "")
EMAIL_USE_TLS = _MAIL.scheme == "smtp+tls"  # STARTTLS
EMAIL_USE_SSL = _MAIL.scheme == "smtps"
EMAIL_TIMEOUT = 10  # seconds for each answer of the mail server, which may hold up a worker but not for long
DEFAULT_FROM_EMAIL = ENV.mail_from

# Webhooks: they lead to the internet, and into these networks alone
WEBHOOK_NETWORKS = [network for network in ENV.webhook_networks.split(",") if network.strip()]
Reach.of(WEBHOOK_NETWORKS)  # what is no network stops the start, not a delivery

# Upstreams: tracking servers and buckets that a worker fetches the files of versions from (see docs/mlflow.md)
UPSTREAMS = ENV.upstreams

# API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["access.authentication.PrincipalAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["access.authentication.SignedIn"],
    "DEFAULT_PAGINATION_CLASS": "foundation.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.api.problem_response",
    "PAGE_SIZE": 50,
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Countersign",
    "DESCRIPTION": "Governed model registry: models, versions, evidence, reviews, pulls. Errors are RFC 9457 problem JSON.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "JobStateEnum": "jobs.models.Job.State",
        "VersionStateEnum": "registry.models.ModelVersion.State",
        "DeploymentStateEnum": "serving.models.Deployment.State",
        "RoundStateEnum": "reviews.models.Round.State",
        "SignOffDecisionEnum": "reviews.models.SignOff.Decision",
        "PolicyDecisionEnum": "reviews.models.PolicySignature.Decision",
        "NotificationKindEnum": "notices.models.Notification.Kind",
        "WebhookEventEnum": "notices.webhooks.api.EVENTS",
        "WebhookStateEnum": "notices.models.Webhook.State",
        "DeliveryStateEnum": "notices.models.Delivery.State",
        "FindingSeverityEnum": "reviews.models.Finding.Severity",
        "FindingStateEnum": "reviews.models.Finding.State",
        "FindingStepEnum": "reviews.models.FindingEvent.Kind",
    },
}

# Time, language, logs
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
LOGGING = logging_config(ENV.log_level)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
PROMETHEUS_EXPORT_MIGRATIONS = False
SILENCED_SYSTEM_CHECKS = [
    "guardian.W001",  # permissions are answered by access.permissions, which reads the grant tables; not by has_perm
    "security.W008",  # SECURE_SSL_REDIRECT: the proxy in front redirects, see above
]
