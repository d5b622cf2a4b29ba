"""Where the server is: below /records/."""

from django.urls import include, re_path

urlpatterns = [re_path(r"^records/", include("sumatra_server.urls"))]
