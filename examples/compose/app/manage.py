"""Django's command line: `python manage.py leak api 5`."""

import sys

from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
