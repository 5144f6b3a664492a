"""Addresses of the catalog pages."""

from django.urls import path

from catalog import views

app_name = "catalog"
urlpatterns = [
    path("products/", views.product_list, name="products"),
    path("products/<slug:slug>/", views.product, name="product"),
    path("products/<slug:slug>/tell-me/", views.tell_me, name="tell-me"),
    path("tell-me/stop/<str:token>/", views.tell_me_stop, name="tell-me-stop"),
    path("categories/<path:path>/", views.product_list, name="category"),
]
