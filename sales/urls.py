"""Addresses of the shop's own pages: home, flash sales, cart, checkout, orders."""

from django.conf import settings
from django.urls import path

from sales import (
    address_views,
    cart_views,
    order_views,
    room_views,
    views,
    waiting_views,
)

app_name = "sales"
urlpatterns = [
    path("", views.home, name="home"),
    path("flash/", views.flash_sales, name="flash-sales"),
    path("flash/<slug:slug>/", views.flash_sale, name="flash-sale"),
    path("flash/<slug:slug>/waiting-room/", room_views.room, name="waiting-room"),
    path("flash/<slug:slug>/<int:item_id>/live/", views.flash_item, name="flash-item"),
    path("flash/<slug:slug>/<int:item_id>/claim/", views.claim, name="claim"),
    path("flash/<slug:slug>/<int:item_id>/wait/", waiting_views.join, name="wait"),
    path(
        "flash/<slug:slug>/<int:item_id>/checking/<uuid:order_id>/",
        views.checking,
        name="checking",
    ),
    path("offers/<int:product_id>/", views.product_offer, name="product-offer"),
    path("cart/", cart_views.cart, name="cart"),
    path("cart/add/<int:product_id>/", cart_views.cart_add, name="cart-add"),
    path("cart/lines/<int:product_id>/", cart_views.cart_line, name="cart-line"),
    path("checkout/", cart_views.checkout_page, name="checkout"),
    path("addresses/", address_views.address_book, name="addresses"),
    path("addresses/new/", address_views.address, name="address-new"),
    path("addresses/<int:address_id>/", address_views.address, name="address"),
    path(
        "addresses/<int:address_id>/delete/",
        address_views.address_delete,
        name="address-delete",
    ),
    path("orders/", order_views.orders_page, name="orders"),
    path("orders/<uuid:order_id>/", order_views.order, name="order"),
    path("orders/<uuid:order_id>/pay/", order_views.pay, name="pay"),
    path("orders/<uuid:order_id>/cancel/", order_views.cancel, name="cancel"),
    path("orders/<uuid:order_id>/again/", order_views.again, name="again"),
    path("orders/<uuid:order_id>/leave/", waiting_views.leave, name="leave-line"),
    path(
        "pay/stripe/<uuid:payment_id>/",
        order_views.stripe_payment,
        name="stripe-payment",
    ),
    path(
        "pay/back/<uuid:payment_id>/",
        order_views.payment_return,
        name="payment-return",
    ),
]
if settings.SHOP_TEST_GATEWAY:
    urlpatterns += [
        path(
            "pay/test/<uuid:payment_id>/", order_views.test_payment, name="test-payment"
        ),
    ]
