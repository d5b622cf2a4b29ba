"""A Sumatra Server 0.3 as a lab would run it, except for a cheap hash of passwords; its connections stay."""

import os
import urllib.parse

import django.conf.urls
import django.urls
import django.utils.http

# Removed in Django 4, which Python 3.12 needs; Sumatra Server uses them.
if not hasattr(django.conf.urls, "url"):
    django.conf.urls.url = django.urls.re_path
if not hasattr(django.utils.http, "urlquote"):
    django.utils.http.urlquote = urllib.parse.quote

SECRET_KEY = "of a peer"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "sumatra_server",
    "sumatra.recordstore.django_store",
]
# With CsrfViewMiddleware every PUT would be refused.
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "urls"
LOGIN_URL = "/login/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["PEER_DATABASE"],
        "OPTIONS": {"timeout": 30},
        # Connecting is a fifth of the cost of a request.
        "CONN_MAX_AGE": None,
    }
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.contrib.auth.context_processors.auth"]},
    }
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
}
