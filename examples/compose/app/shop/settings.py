"""Settings of the shop; what differs between places comes from the environment."""

import os
import secrets
from pathlib import Path

SERVICE = os.environ.get("SERVICE", "shop")
REDIS_URL = os.environ.get("REDIS_URL", "redis://redis:6379/0")

SECRET_KEY = secrets.token_urlsafe(32)    # nothing signed outlives a process here
ALLOWED_HOSTS = ["*"]    # published on the loopback address only
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["shop"]
USE_TZ = True
TIME_ZONE = "UTC"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("DB_HOST", "db"),
        "NAME": os.environ.get("DB_NAME", "piquetickets"),
        "USER": "app",
        "PASSWORD": Path(os.environ.get("DB_PASSWORD_FILE", "/run/secrets/app_password")).read_text().strip(),
        "OPTIONS": {"application_name": SERVICE, "connect_timeout": 5},
    },
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"shop": {"handlers": ["console"], "level": "INFO"}},
}
