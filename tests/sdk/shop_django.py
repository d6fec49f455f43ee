"""Settings and pages of the Django shop in `shop_apps`. Not a test."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

SECRET_KEY = "of the test"  # noqa: S105 - as it says
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
MIDDLEWARE: list[str] = []


def pay(_: HttpRequest) -> HttpResponse:
    return HttpResponse("paid")


urlpatterns = [path("pay", pay)]
