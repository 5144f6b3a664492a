"""Addresses of the catalog pages."""

from django.urls import path

from catalog import views

app_name = "catalog"
urlpatterns = [
    path("products/", views.product_list, name="products"),
    path("products/<slug:slug>/", views.product, name="product"),
    path("categories/<path:path>/", views.product_list, name="category"),
]
