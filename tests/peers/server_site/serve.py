"""Create the database and the users, then serve on a free port and print it: `serve.py`."""

import os
import sys
import wsgiref.simple_server
from socketserver import ThreadingMixIn

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.db.backends.signals import connection_created


class Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def process_request_thread(self, request, client_address):
        """Answer all requests of a connection, and close what its thread has opened for that."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            connections.close_all()


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        print(format % args, file=sys.stderr, flush=True)


def care(connection, **_):
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA synchronous = {os.environ['PEER_SYNCHRONOUS']}")


connection_created.connect(care)
call_command("migrate", verbosity=0)
for name in sys.argv[1:]:
    if not User.objects.filter(username=name).exists():
        User.objects.create_user(name, password="s3cret")
server = wsgiref.simple_server.make_server("127.0.0.1", 0, get_wsgi_application(), Server, Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
