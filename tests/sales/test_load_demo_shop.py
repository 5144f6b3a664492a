"""The demo shop is whole, believable and can be started again and again."""

from datetime import timedelta
from io import StringIO
from xml.etree import ElementTree

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models import Count, F
from django.utils import timezone

from catalog.models import (
    Alert,
    AlertMail,
    AlertRule,
    Category,
    Product,
    StatusChange,
    Stock,
    StockMovement,
)
from sales import audit, flash, report
from sales.demo import flash_sales, goods, people, pictures
from sales.models import FlashSale, FlashSaleItem, Order, SaleState
from tests.catalog.ledger import assert_ledger_explains
from tests.factories import make_product

pytestmark = [pytest.mark.redis, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def demo(settings, tmp_path, sale_redis):
    settings.DEMO = True
    settings.MEDIA_ROOT = tmp_path


def load():
    output = StringIO()
    call_command("load_demo_shop", stdout=output)
    return output.getvalue()


def sale(name):
    return FlashSale.objects.filter(name=name).order_by("pk").last()


def let_pass(sale, hours):
    """As if everything about the sale had been that much earlier."""
    past = timedelta(hours=hours)
    rows = FlashSale.objects.filter(pk=sale.pk)
    rows.update(opens_at=F("opens_at") - past, closes_at=F("closes_at") - past)
    rows = FlashSaleItem.objects.filter(sale=sale)
    rows.update(opens_at=F("opens_at") - past, closes_at=F("closes_at") - past)


def test_products_show_every_status_and_every_origin_of_a_threshold():
    load()

    statuses = Stock.objects.values("status").annotate(products=Count("pk"))
    assert {row["status"] for row in statuses if row["products"] >= 5} == {
        "in_stock",
        "low_stock",
        "out_of_stock",
    }
    assert Product.objects.values("handle").distinct().count() >= 40
    assert Category.objects.filter(parent=None).count() >= 6
    assert Category.objects.exclude(safety_threshold=None).exists()
    assert Stock.objects.filter(inherits_threshold=False).exists()
    assert Product.objects.filter(compare_at_price__gt=F("price")).count() >= 8
    assert not Product.objects.filter(compare_at_price__lte=F("price")).exists()


def test_every_product_has_a_picture_and_every_drawing_a_product(tmp_path):
    goods.draw_pictures()
    goods.fill()

    names = set(Product.objects.values_list("picture", "handle"))
    assert len({picture for picture, _ in names}) == len(names)
    assert len(names) == len(list(pictures.SHAPES.glob("*.svg")))
    drawings = {(tmp_path / picture).read_text() for picture, _ in names}
    assert len(drawings) == len(names)
    for drawing in drawings:
        assert ElementTree.fromstring(drawing).get("viewBox") == "0 0 800 600"
    for product in Product.objects.all():
        files = [picture.file.name for picture in product.pictures.all()]
        assert (len(files), files[0]) == (len(pictures.VIEWS), product.picture.name)
        assert all((tmp_path / name).exists() for name in files)


def test_two_weeks_have_passed_in_ledger_orders_and_alerts():
    load()

    for product in Product.objects.all():
        assert_ledger_explains(product)
    kinds = set(StockMovement.objects.values_list("kind", flat=True))
    assert kinds >= {"receipt", "adjustment", "reserve", "release", "sale", "return"}
    first = StockMovement.objects.earliest("created_at").created_at
    assert timezone.now() - first > timedelta(days=13)
    assert StatusChange.objects.dates("created_at", "day").count() >= 5
    assert Order.objects.dates("created_at", "day").count() >= 10
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        StockMovement.objects.update(reason="changed")

    regular = Order.objects.filter(flash_item=None)
    assert set(regular.values_list("state", flat=True)) == {
        "held",
        "paid",
        "refunded",
        "expired",
        "cancelled",
    }
    for order in regular.filter(state="expired"):
        assert order.created_at < order.expires_at == order.closed_at

    assert Alert.objects.filter(seen_at=None).exists()
    assert Alert.objects.exclude(seen_at=None).count() >= 5
    assert AlertRule.objects.filter(emails=people.MERCHANT).exists()
    assert not AlertMail.objects.exists()


def test_one_sale_is_live_and_one_waits_for_the_schedule_to_load_it():
    before = timezone.now()
    load()

    live = flash.live(FlashSaleItem.objects.values_list("pk", flat=True))
    items = sale("Harbor Lights").items.select_related("product")
    by_sku = {item.product.sku: live[item.pk] for item in items}
    assert sale("Harbor Lights").state == SaleState.LIVE
    assert (by_sku["TENT"].units, by_sku["TENT"].floor) == (24, 4)
    assert by_sku["PHONES"].sellable > 0
    assert by_sku["JACKET-M"].state == "all_held"
    assert by_sku["PENDANT"].state == "sold_out"

    opening = sale("Minute Rush")
    waiting = set(opening.items.values_list("pk", flat=True))
    assert opening.state == SaleState.SCHEDULED
    assert before < opening.opens_at <= timezone.now() + timedelta(minutes=1)
    assert not waiting & live.keys()
    assert {o.item_id for o in flash.preload_due() if not o.error} >= waiting


def test_the_live_sale_began_with_a_rush_in_which_some_were_too_late():
    load()

    found = report.of_sale(sale("Harbor Lights"))

    by_sku = {row.item.product.sku: row for row in found.items}
    taken = {sku: paid + held for sku, (paid, held, _) in flash_sales.CLAIMED.items()}
    late = {sku: refused for sku, (_, _, refused) in flash_sales.CLAIMED.items()}
    assert {sku: row.claimed for sku, row in by_sku.items()} == taken
    assert {sku: row.refused_claims for sku, row in by_sku.items()} == late


def test_a_second_run_says_so_and_changes_nothing():
    load()
    before = Product.objects.count(), Order.objects.count(), FlashSale.objects.count()
    movements = StockMovement.objects.count()

    said = load()

    assert "Products: already there" in said
    assert said.count("nothing to do") == 2
    assert movements == StockMovement.objects.count()
    assert before == (
        Product.objects.count(),
        Order.objects.count(),
        FlashSale.objects.count(),
    )


def test_a_run_after_the_sales_are_over_makes_new_ones():
    load()
    let_pass(sale("Harbor Lights"), hours=7)
    let_pass(sale("Minute Rush"), hours=7)
    flash.advance()

    load()

    assert FlashSale.objects.filter(name="Harbor Lights").count() == 2
    assert sale("Harbor Lights").state == SaleState.LIVE
    assert sale("Harbor Lights").items.count() == 6
    assert sale("Minute Rush").state == SaleState.SCHEDULED


def test_a_run_while_the_opened_sale_goes_on_opens_one_with_other_products():
    load()
    let_pass(sale("Minute Rush"), hours=0.1)
    first = set(sale("Minute Rush").items.values_list("product", flat=True))

    load()

    second = set(sale("Minute Rush").items.values_list("product", flat=True))
    assert second
    assert not first & second


def test_a_shop_with_products_of_its_own_stays_as_it_is():
    make_product("Own work")

    load()

    assert Product.objects.count() == 1
    assert not FlashSale.objects.exists()


def test_everybody_may_sign_in_as_merchant_and_as_shopper(client):
    make_product("So that the shop is not filled")
    load()

    for email in (people.MERCHANT, people.SHOPPER):
        assert client.login(username=email, password=people.PASSWORD)
        assert EmailAddress.objects.get(email=email).verified
    assert User.objects.get(username=people.MERCHANT).is_superuser
    assert not User.objects.get(username=people.SHOPPER).is_staff


def test_no_account_is_made_outside_a_demo(settings):
    settings.DEMO = False
    make_product("So that the shop is not filled")

    load()

    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_audit_holds_after_loading():
    load()

    report = audit.look(audit.every_item())
    assert [finding.as_json() for finding in report.violations] == []
    assert any(finding.holds for finding in report.findings)
