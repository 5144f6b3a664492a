from datetime import timedelta

import pytest
from django.http import QueryDict
from django.utils import timezone

from catalog import desk_edits, stock, thresholds
from catalog.models import Stock, StockMovement, ThresholdChange
from tests.factories import make_product, make_staff
from tests.threads import run_at_once

FIGURES = ("on_hand", "safety_threshold", "low_stock_level")


def typed(*rows):
    """What a page sends: `rows` are pairs of a product and what was typed into it."""
    data = QueryDict(mutable=True)
    for product, figures in rows:
        row = Stock.objects.get(pk=product.pk)
        data.appendlist("row", str(row.pk))
        data[f"{row.pk}-version"] = str(row.version)
        for name in FIGURES:
            data[f"{row.pk}-{name}_shown"] = desk_edits.text_of(row, name)
            data[f"{row.pk}-{name}"] = desk_edits.text_of(row, name)
        for name, text in figures.items():
            data[f"{row.pk}-{name}"] = text
    return data


@pytest.mark.django_db(transaction=True)
def test_of_two_who_count_at_once_one_is_asked():
    pot = make_product(on_hand=10)
    counts = [
        (typed((pot, {"on_hand": number, "reason": "counted"})), make_staff("owner"))
        for number in ("8", "9")
    ]

    saved = run_at_once(lambda count: desk_edits.save(count[0], actor=count[1]), counts)

    assert sorted(len(outcome.conflicts) for outcome in saved) == [0, 1]
    (winner,) = [
        data
        for (data, _who), outcome in zip(counts, saved, strict=True)
        if not outcome.refused
    ]
    row = Stock.objects.get(pk=pot.pk)
    assert str(row.on_hand) == winner[f"{pot.pk}-on_hand"]
    assert StockMovement.objects.filter(product=pot, kind="adjustment").count() == 1


@pytest.mark.django_db
def test_levels_of_one_save_are_one_batch():
    pot, jug = make_product("Clay pot"), make_product("Jug")
    data = typed((pot, {"safety_threshold": "1"}), (jug, {"low_stock_level": "2"}))

    saved = desk_edits.save(data, actor=make_staff("owner"))

    assert saved.changed == 2
    assert {change.batch for change in ThresholdChange.objects.all()} == {saved.batch}


@pytest.mark.django_db
def test_count_and_levels_of_a_row_are_saved_together():
    pot = make_product(on_hand=10)
    data = typed((pot, {"on_hand": "7", "reason": "x", "safety_threshold": "7"}))

    assert desk_edits.save(data, actor=make_staff("owner")).changed == 1

    row = Stock.objects.get(pk=pot.pk)
    assert (row.on_hand, row.safety_threshold, row.is_out) == (7, 7, True)


@pytest.mark.django_db
def test_conflict_says_who_was_faster():
    pot, colleague = make_product(safety_threshold=1), make_staff("owner")
    data = typed((pot, {"safety_threshold": "3"}))
    levels = {pot.pk: thresholds.Levels(safety_threshold=7)}
    thresholds.change(levels, actor=colleague)

    (conflict,) = desk_edits.save(data, actor=make_staff("owner")).conflicts

    assert conflict.by == str(colleague)
    assert (conflict.theirs, conflict.mine, conflict.base) == ("7", "3", "7")


@pytest.mark.django_db
def test_count_conflicts_when_units_came_and_went_meanwhile():
    pot = make_product(on_hand=10)
    data = typed((pot, {"on_hand": "9", "reason": "counted"}))
    stock.receive(pot.pk, 1, note=stock.Note())
    stock.adjust(pot.pk, on_hand=10, note=stock.Note(reason="back again"))

    saved = desk_edits.save(data, actor=make_staff("owner"))

    assert [conflict.theirs for conflict in saved.conflicts] == ["10"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("seen_in", "conflicts"), [(timedelta(minutes=1), 0), (timedelta(minutes=-1), 1)]
)
def test_count_does_not_conflict_with_a_level_somebody_changed(seen_in, conflicts):
    pot = make_product(on_hand=10)
    data = typed((pot, {"on_hand": "9", "reason": "counted"}))
    data["seen"] = (timezone.now() + seen_in).isoformat()
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    saved = desk_edits.save(data, actor=make_staff("owner"))

    assert len(saved.conflicts) == conflicts


@pytest.mark.django_db
@pytest.mark.parametrize(
    "seen",
    [
        "",
        "x",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
    ],
)
def test_count_is_asked_about_when_the_page_does_not_say_its_time(seen):
    pot = make_product(on_hand=10)
    data = typed((pot, {"on_hand": "9", "reason": "counted"}))
    data["seen"] = seen
    thresholds.change({pot.pk: thresholds.Levels(safety_threshold=7)})

    assert desk_edits.save(data, actor=make_staff("owner")).conflicts


@pytest.mark.django_db
@pytest.mark.parametrize("row", ["", "x", "-1", "9" * 30, "\u0661", "0"])
def test_rows_that_are_none_are_passed_over(row):
    data = QueryDict(mutable=True)
    data.appendlist("row", row)
    data[f"{row}-on_hand"] = "5"

    assert desk_edits.save(data, actor=make_staff("owner")).changed == 0
    assert not StockMovement.objects.exists()
