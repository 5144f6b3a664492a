from datetime import timedelta

import pytest
from django.utils import timezone

from catalog import levels, stock, thresholds
from catalog.levels import Rule
from catalog.models import StatusChange
from tests.factories import make_category, make_product

pytestmark = pytest.mark.django_db


def levels_of(product):
    product.stock.refresh_from_db()
    return product.stock.safety_threshold, product.stock.low_stock_level


@pytest.mark.parametrize(
    ("operation", "number", "after"),
    [
        ("set", 7, 7),
        ("add", 3, 5),
        ("add", -9, 0),
        ("percent", 10, 3),  # of 21, rounded up: never less than asked for
        ("percent", 0, 0),
    ],
)
def test_rule_gives_the_level(operation, number, after):
    pot = make_product(on_hand=21, safety_threshold=2)

    plan = levels.plan([pot.pk], Rule("safety_threshold", operation, number))

    (change,) = plan.changes
    assert (change.threshold.before, change.threshold.after) == (2, after)


def test_days_of_cover_come_from_what_was_sold_in_four_weeks():
    pot = make_product(on_hand=100)
    stock.reserve({pot.pk: 56}, note=stock.Note())
    stock.ship({pot.pk: 56}, note=stock.Note())
    rule = Rule("low_stock_level", "days", 3)

    soon = levels.plan([pot.pk], rule)
    later = levels.plan([pot.pk], rule, now=timezone.now() + timedelta(days=29))

    assert [change.low.after for change in soon.changes] == [6]
    assert later.changes == []


def test_preview_counts_what_then_happens():
    out = make_product("Clay pot", on_hand=5, safety_threshold=1)
    back = make_product("Jug", on_hand=5, safety_threshold=9)
    same = make_product("Mug", on_hand=50, safety_threshold=5)
    ids = [out.pk, back.pk, same.pk]
    for product in (out, back):
        stock.allocate(product.pk, 1, note=stock.Note())
    before = StatusChange.objects.count()
    rule = Rule("safety_threshold", "set", 5)
    stock.receive(back.pk, 1, note=stock.Note())

    plan = levels.plan(ids, rule)
    levels.apply(ids, rule, mark=plan.mark)

    assert (plan.becoming_out, plan.coming_back, plan.in_sale) == (1, 1, 2)
    assert StatusChange.objects.count() == before + 2
    for change in plan.changes:
        product = {out.pk: out, back.pk: back}[change.product_id]
        product.stock.refresh_from_db()
        assert product.stock.status == change.status_after
        assert product.stock.safety_threshold == change.threshold.after


def test_undo_restores_exactly():
    garden = make_category(safety_threshold=3)
    pot = make_product(on_hand=9, safety_threshold=3, category=garden)
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=None)})
    jug = make_product(safety_threshold=8)
    rule = Rule("safety_threshold", "set", 6)
    ids = [pot.pk, jug.pk]
    batch = levels.apply(ids, rule, mark=levels.plan(ids, rule).mark)

    thresholds.undo(batch)

    assert (levels_of(pot)[0], levels_of(jug)[0]) == (3, 8)
    assert pot.stock.inherits_threshold
    assert not jug.stock.inherits_threshold


def test_inherit_takes_the_number_of_the_category():
    garden = make_category(low_stock_level=4)
    pot = make_product(low_stock_level=1, category=garden)
    rule = Rule("low_stock_level", "inherit")

    plan = levels.plan([pot.pk], rule)
    levels.apply([pot.pk], rule, mark=plan.mark)

    assert levels_of(pot) == (0, 4)
    assert pot.stock.inherits_low_stock_level


def test_apply_refuses_what_was_not_shown():
    pot = make_product(on_hand=20)
    rule = Rule("safety_threshold", "percent", 50)
    plan = levels.plan([pot.pk], rule)
    stock.receive(pot.pk, 10, note=stock.Note())

    with pytest.raises(levels.PlanIsStale) as refusal:
        levels.apply([pot.pk], rule, mark=plan.mark)

    assert levels_of(pot) == (0, 0)
    assert [change.threshold.after for change in refusal.value.plan.changes] == [15]


def test_plan_runs_the_same_queries_for_one_and_for_many(django_assert_num_queries):
    rule = Rule("safety_threshold", "days", 5)
    thresholds.store()
    for count in (1, 12):
        ids = [make_product().pk for _ in range(count)]
        with django_assert_num_queries(4):
            levels.plan(ids, rule)
