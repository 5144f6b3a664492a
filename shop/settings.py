"""Every setting of Holdfast; what differs between places is an environment variable.

docs/settings.md lists them all. A value that is missing or makes no sense raises
ImproperlyConfigured with the variable's name; nothing is guessed in production.
"""

import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import django_stubs_ext
import environ
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from import_export.formats.base_formats import CSV, XLSX

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def env_str(name: str, default: str | None = None) -> str:
    """The variable's text; without a default it must be set."""
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise ImproperlyConfigured(f"{name} is not set; see docs/settings.md.")
    return default


def env_bool(name: str, default: bool) -> bool:
    value = env_str(name, "on" if default else "off").lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be on or off, not {value!r}.")
    return value in TRUE


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    value = env_str(name, str(default))
    try:
        number = int(value)
    except ValueError:
        number = minimum - 1
    if number < minimum:
        raise ImproperlyConfigured(
            f"{name} must be a whole number of at least {minimum}, not {value!r}."
        )
    return number


def env_list(name: str, default: str | None = None) -> list[str]:
    return [part.strip() for part in env_str(name, default).split(",") if part.strip()]


def env_choice(name: str, default: str, choices: Sequence[str]) -> str:
    value = env_str(name, default)
    if value not in choices:
        raise ImproperlyConfigured(
            f"{name} must be one of {', '.join(choices)}, not {value!r}."
        )
    return value


def env_url(name: str, default: str | None, schemes: Sequence[str]) -> str:
    value = env_str(name, default)
    if urlparse(value).scheme not in schemes:
        raise ImproperlyConfigured(
            f"{name} must start with {' or '.join(s + '://' for s in schemes)}."
        )
    return value


# -- Where we are -----------------------------------------------------------------
# Without DATABASE_URL the embedded servers serve, unless DEBUG=off says that this is
# production. manage.py starts them, and then sets DATABASE_URL and SHOP_LOCAL.

DEBUG = env_bool("DEBUG", False)
TESTING = "pytest" in sys.modules
LOCAL = DEBUG or env_bool(
    "SHOP_LOCAL", not (env_str("DATABASE_URL", "") or env_str("DEBUG", ""))
)
DEMO = env_bool("SHOP_DEMO", False)
DATA_DIR = Path(env_str("DATA_DIR", str(BASE_DIR / "var"))).resolve()

SECRET_KEY = env_str("SECRET_KEY", "only-for-development" if LOCAL else None)
ALLOWED_HOSTS = env_list(
    "ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]" if LOCAL else None
)
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", "")
SITE_URL = env_url("SITE_URL", "http://localhost:8000", ["http", "https"]).rstrip("/")

# -- Servers ----------------------------------------------------------------------

REDIS_SCHEMES = ["redis", "rediss", "unix"]


def local_url(url: str) -> str | None:
    return url if LOCAL else None


DATABASE_URL = env_url(
    "DATABASE_URL",
    local_url("postgresql://postgres@localhost/holdfast"),
    ["postgresql", "postgres"],
)
SALE_REDIS_URL = env_url(
    "SALE_REDIS_URL", local_url("redis://localhost:6379/0"), REDIS_SCHEMES
)
QUEUE_REDIS_URL = env_url(
    "QUEUE_REDIS_URL", local_url("redis://localhost:6380/0"), REDIS_SCHEMES
)
CACHE_REDIS_URL = env_url(
    "CACHE_REDIS_URL", local_url("redis://localhost:6380/1"), REDIS_SCHEMES
)
SALE_REDIS_CLUSTER = env_bool("SALE_REDIS_CLUSTER", False)
SALE_REDIS_TIMEOUT_MS = env_int("SALE_REDIS_TIMEOUT_MS", 300, minimum=10)

try:
    _database: dict[str, Any] = environ.Env.db_url_config(DATABASE_URL)
except Exception as error:
    raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {error}") from None
DATABASES = {
    "default": {
        **_database,
        "CONN_MAX_AGE": env_int("SHOP_DATABASE_MAX_AGE", 600),
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {
        "BACKEND": "shop.cache.Cache",
        "LOCATION": CACHE_REDIS_URL,
        "KEY_PREFIX": "cache",
    }
}

RQ_QUEUES = {
    "flash": {"URL": QUEUE_REDIS_URL, "DEFAULT_TIMEOUT": 60},
    "default": {"URL": QUEUE_REDIS_URL, "DEFAULT_TIMEOUT": 600},
    # One import takes minutes; holds that end must not wait behind it.
    "imports": {"URL": QUEUE_REDIS_URL, "DEFAULT_TIMEOUT": 1800},
}
RQ_SHOW_ADMIN_LINK = False

# -- The shop ---------------------------------------------------------------------

SHOP_NAME = env_str("SHOP_NAME", "Holdfast")
SHOP_CURRENCY = env_str("SHOP_CURRENCY", "USD").upper()
SHOP_HOLD_SECONDS = env_int("SHOP_HOLD_SECONDS", 600, minimum=1)
SHOP_FLASH_HOLD_SECONDS = env_int("SHOP_FLASH_HOLD_SECONDS", 600, minimum=1)
SHOP_OFFER_SECONDS = env_int("SHOP_OFFER_SECONDS", 900, minimum=1)
SHOP_PRELOAD_LEAD_SECONDS = env_int("SHOP_PRELOAD_LEAD_SECONDS", 900)
SHOP_PAYING_SECONDS = env_int("SHOP_PAYING_SECONDS", 1800, minimum=1)
SHOP_ROOM_PASS_SECONDS = env_int("SHOP_ROOM_PASS_SECONDS", 600, minimum=1)
SHOP_ROOM_CALL_SECONDS = env_int("SHOP_ROOM_CALL_SECONDS", 120, minimum=1)
SHOP_CART_DAYS = env_int("SHOP_CART_DAYS", 30, minimum=1)
SHOP_TEST_GATEWAY = env_bool("SHOP_TEST_GATEWAY", LOCAL)
STRIPE_SECRET_KEY = env_str("STRIPE_SECRET_KEY", "")
STRIPE_WEBHOOK_SECRET = env_str(
    "STRIPE_WEBHOOK_SECRET", None if STRIPE_SECRET_KEY else ""
)
STRIPE_API_BASE = env_url(
    "STRIPE_API_BASE", "https://api.stripe.com", ["https", "http"]
).rstrip("/")
STRIPE_PAGES = ["https://checkout.stripe.com"] if STRIPE_SECRET_KEY else []
SHOP_WEBHOOK_INTERNAL = env_bool("SHOP_WEBHOOK_INTERNAL", LOCAL)
SHOP_RATE_LIMITS = env_bool("SHOP_RATE_LIMITS", True)
SHOP_METRICS_TOKEN = env_str("SHOP_METRICS_TOKEN", "")
SHOP_TOKEN_DAYS = env_int("SHOP_TOKEN_DAYS", 30, minimum=1)
SHOP_STOCK_FOLLOWER = "sales.floors.follow"
SHOP_FLASH_OFFERS = "sales.offers.current"
SHOP_JOINING_LIMIT = "shop.limits.may_join"
SHOP_TOKEN_READER = "sales.tokens.read"  # noqa: S105  the name of a function
SHOP_MAX_QUANTITY = 1_000_000
SHOP_MAX_PRICE = Decimal("9999999.99")
SHOP_MAX_PICTURE_BYTES = 2_000_000

# -- JSON API ----------------------------------------------------------------------
# Calls per minute: of one token, and of all behind one address.

SHOP_API_LIMITS = {
    "calls": {"token": 600, "address": 6000},
    "claims": {"token": 120, "address": 6000},
    "sign-in": {"token": 120, "address": 600},
    "room": {"token": 60, "address": 600},
}
NINJA_NUM_PROXIES = env_int("SHOP_PROXIES", 0)
ALLAUTH_TRUSTED_PROXY_COUNT = NINJA_NUM_PROXIES

# -- Django -----------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "django_htmx",
    "django_rq",
    "import_export",
    "ninja",
    "simple_history",
    "shop",
    "catalog",
    "sales",
]

MIDDLEWARE = [
    "shop.api.ApiMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "shop.middleware.PolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "shop.middleware.StaffTwoFactorMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]

ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"

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
                "shop.context.shop",
            ],
        },
    }
]

SESSION_ENGINE = "shop.sessions"  # in PostgreSQL, read from the cache
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("id", _("Indonesian"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = Path(env_str("STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_URL = "media/"
MEDIA_ROOT = Path(env_str("MEDIA_ROOT", str(DATA_DIR / "media")))
_static_backend = (
    "django.contrib.staticfiles.storage.StaticFilesStorage"
    if DEBUG or TESTING
    else "whitenoise.storage.CompressedManifestStaticFilesStorage"
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _static_backend},
}

# -- Accounts ---------------------------------------------------------------------
# A user's name is the e-mail address in lower case, so it is unique by constraint.

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
    )
]
if TESTING:  # a good hash takes most of a short test's time
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_ADAPTER = "shop.accounts.AccountAdapter"
if not SHOP_RATE_LIMITS:
    ACCOUNT_RATE_LIMITS = False
SHOP_STAFF_TWO_FACTOR = env_bool("SHOP_STAFF_TWO_FACTOR", not (LOCAL or DEMO))
MFA_TOTP_ISSUER = SHOP_NAME
MFA_TOTP_TOLERANCE = 1  # a clock may be half a minute off
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"

# -- Mail -------------------------------------------------------------------------

_mail = environ.Env.email_url_config(env_str("EMAIL_URL", "consolemail://"))
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_FILE_PATH = _mail.get("EMAIL_FILE_PATH") or None
EMAIL_HOST = _mail.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env_str("DEFAULT_FROM_EMAIL", "shop@localhost")

# -- Security ---------------------------------------------------------------------

HTTPS = env_bool("SHOP_HTTPS", not LOCAL)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 60 * 60 * 24 * 365 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        # Chromium follows a form through its redirects, so to the payment page.
        "form-action": [SELF, *STRIPE_PAGES],
        "frame-ancestors": [NONE],
    },
}
# The admin theme evaluates expressions and sets inline styles.
ADMIN_CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "script-src": [SELF, UNSAFE_EVAL, UNSAFE_INLINE],
    "style-src": [SELF, UNSAFE_INLINE],
}

# -- Logs -------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "rq": {"format": "%(asctime)s %(levelname)s rq %(message)s"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["console"],
        "level": env_choice(
            "LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
        ),
    },
    "loggers": {
        "django.request": {"level": "ERROR"},
        "rq": {"level": env_str("RQ_LOG_LEVEL", "WARNING")},
    },
}

# -- Admin ------------------------------------------------------------------------

# Old versions are for reading: putting one back would go past the services.
SIMPLE_HISTORY_REVERT_DISABLED = True
EXPORT_FORMATS = [CSV, XLSX]
IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT = True
# Else one name with a sign that workbooks cannot hold would keep all from going out.
IMPORT_EXPORT_ESCAPE_ILLEGAL_CHARS_ON_EXPORT = True


def menu(title: Any, icon: str, page: str) -> dict[str, Any]:
    """A line of the dashboard's menu; a model's list is for those who may view it."""
    if ":" in page:
        return {"title": title, "icon": icon, "link": reverse_lazy(page)}
    app, model = page.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{model}"),
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": SHOP_NAME,
    "SITE_HEADER": SHOP_NAME,
    "SITE_SUBHEADER": _("Stock desk"),
    "SITE_URL": "/",
    "SITE_ICON": lambda request: static("img/logo.svg"),
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("img/logo.svg"),
        },
    ],
    "COLORS": {
        "primary": {  # the shop's green, as in assets/shop.css
            "50": "#effaf6",
            "100": "#dcefe7",
            "200": "#b8ded0",
            "300": "#8bcab5",
            "400": "#5ab89b",
            "500": "#2a8f76",
            "600": "#0b6b55",
            "700": "#0b5d4b",
            "800": "#084738",
            "900": "#063a2e",
            "950": "#03211a",
        },
    },
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": True,
    "DASHBOARD_CALLBACK": "sales.merchant_views.dashboard",
    "STYLES": [lambda request: static("css/admin.css")],
    "SCRIPTS": [lambda request: static("js/merchant.js")],
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "title": _("Stock"),
                "items": [
                    menu(_("Dashboard"), "dashboard", "admin:index"),
                    menu(_("Stock desk"), "inventory_2", "catalog.stock"),
                    menu(_("Products"), "sell", "catalog.product"),
                    menu(_("Categories"), "category", "catalog.category"),
                    menu(_("Store defaults"), "settings", "catalog.store"),
                ],
            },
            {
                "title": _("Sales"),
                "items": [
                    menu(_("Flash sales"), "bolt", "sales.flashsale"),
                    menu(_("Orders"), "shopping_bag", "sales.order"),
                    menu(_("E-mails"), "outgoing_mail", "sales.ordermail"),
                    menu(_("Payment notices"), "payments", "sales.paymentnotice"),
                ],
            },
            {
                "title": _("What happened"),
                "items": [
                    menu(_("Ledger"), "receipt_long", "catalog.stockmovement"),
                    menu(_("Flash events"), "list_alt", "sales.flashevent"),
                    menu(_("Status changes"), "swap_vert", "catalog.statuschange"),
                    menu(_("Level changes"), "tune", "catalog.thresholdchange"),
                    menu(_("Alerts"), "notifications", "catalog.alert"),
                    menu(_("Audits"), "verified", "sales.auditrun"),
                ],
            },
            {
                "title": _("Operations"),
                "separator": True,
                "items": [
                    menu(_("Alert rules"), "mail", "catalog.alertrule"),
                    menu(_("Webhooks"), "webhook", "catalog.webhookendpoint"),
                    menu(_("Deliveries"), "send", "catalog.webhookdelivery"),
                    menu(_("API tokens"), "vpn_key", "sales.apitoken"),
                    menu(_("Users"), "person", "auth.user"),
                    menu(_("Roles"), "badge", "auth.group"),
                    {
                        "title": _("Health"),
                        "icon": "monitor_heart",
                        "link": reverse_lazy("admin:shop_health"),
                        "permission": lambda request: request.user.has_perm(
                            "django_rq.admin"
                        ),
                    },
                    {
                        "title": _("Jobs and queues"),
                        "icon": "memory",
                        "link": reverse_lazy("admin:django_rq_dashboard_changelist"),
                        "active": lambda request: (
                            "/django_rq/" in request.path
                            and not request.path.endswith("/health/")
                        ),
                        "permission": lambda request: request.user.has_perm(
                            "django_rq.admin"
                        ),
                    },
                ],
            },
        ],
    },
}
