"""Entry point of Gunicorn: loaded once in each of its worker processes."""

from django.core.wsgi import get_wsgi_application

from . import leak

application = get_wsgi_application()
leak.start()
