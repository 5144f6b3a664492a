"""Mounts the shop, the dashboard, the API, health and metrics."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from shop import api_docs, health
from shop.api import api
from shop.media import media

handler500 = "shop.unavailable.server_error"

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("api/docs", api_docs.page, name="api-docs"),
    path("docs", RedirectView.as_view(pattern_name="api-docs")),
    path("accounts/", include("allauth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("catalog.urls")),
    path("", include("sales.urls")),
    path("media/<path:path>", media),
]
