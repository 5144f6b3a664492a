"""SKUs for products without one: stable, unique, and never somebody else's."""

from catalog.files import skus
from catalog.files.formats import Row
from catalog.files.skus import Owner

POT = ("pot",)
LARGE = ("pot", "Large")
POT_LARGE = ("pot-large",)


def rows(*keys, explicit=()):
    named = [Row(99 - n, sku, (), {}, {}, []) for n, sku in enumerate(explicit)]
    unnamed = [
        Row(line, "", key, {"handle": key[0]}, {}, []) for line, key in enumerate(keys)
    ]
    return [*unnamed, *named]


def assigned(*keys, owners=None, explicit=()):
    found = skus.assign(rows(*keys, explicit=explicit), owners or {})
    return [found[line] for line in range(len(keys))]


def test_a_sku_is_made_from_handle_and_options():
    found = assigned(("clay-plant-pot", "Large"), ("dune-sock", "1.5 l", "Sea / Foam"))

    assert found == ["CLAY-PLANT-POT-LARGE", "DUNE-SOCK-1-5-L-SEA-FOAM"]


def test_letters_of_every_script_stay_apart():
    found = assigned(("чайник", "большой"), ("壺",), ("!!!",))

    assert found[:2] == ["ЧАЙНИК-БОЛЬШОЙ", "壺"]
    assert found[2] == skus.coded(("!!!",))


def test_a_long_key_is_cut_and_still_its_own():
    first, second = assigned(("a" * 90,), ("a" * 91,))

    assert len(first) == len(second) == 80
    assert first != second


def test_two_keys_that_look_alike_get_two_skus():
    found = assigned(LARGE, POT_LARGE)

    assert found == ["POT-LARGE", skus.coded(POT_LARGE)]


def test_the_order_of_lines_never_swaps_products():
    owners = {
        "POT-LARGE": Owner("pot", "Clay pot - Large"),
        skus.coded(POT_LARGE): Owner("pot-large", "Large pot"),
    }

    found = assigned(POT_LARGE, LARGE, owners=owners)

    assert found == [skus.coded(POT_LARGE), "POT-LARGE"]


def test_a_new_product_never_takes_the_sku_of_another():
    owners = {"POT-LARGE": Owner("pot-large", "Large pot")}

    assert assigned(LARGE, owners=owners) == [skus.coded(LARGE)]
    assert assigned(LARGE, explicit=["POT-LARGE"]) == [skus.coded(LARGE)]


def test_options_that_only_differ_in_signs_keep_what_they_had():
    plus, minus = ("lens", "+1.5"), ("lens", "-1.5")
    owners = {
        "LENS-1-5": Owner("lens", "Lens - -1.5"),
        skus.coded(plus): Owner("lens", "Lens - +1.5"),
    }

    assert assigned(plus, minus, owners=owners) == [skus.coded(plus), "LENS-1-5"]


def test_a_renamed_product_keeps_its_sku():
    owners = {"POT-LARGE": Owner("pot", "A pot we gave another name")}

    assert assigned(LARGE, owners=owners) == ["POT-LARGE"]


def test_the_same_key_twice_is_the_same_sku_so_the_line_is_refused_as_a_repetition():
    assert assigned(POT, POT) == ["POT", "POT"]


def test_a_number_of_the_other_shop_is_enough():
    row = Row(2, "", ("woo", "44"), {}, {"handle": "oars"}, [])
    owners = {"WOO-44": Owner("another-handle", "Another name")}

    assert skus.assign([row], owners) == {2: "WOO-44"}


def test_a_line_without_anything_gets_no_sku():
    assert skus.assign([Row(2, "", (), {}, {}, ["broken"])], {}) == {2: ""}
    assert skus.assign([Row(2, "", ("",), {}, {}, ["broken"])], {}) == {2: ""}
