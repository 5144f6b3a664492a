"""The two commands: what they print, how they end, and that nothing escapes them."""

import csv
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from catalog.models import Product, Stock, StockMovement
from tests.factories import make_product
from tests.threads import run_at_once

pytestmark = pytest.mark.django_db

FIXTURES = Path(__file__).parents[1] / "fixtures"
HEADER = "sku,name,price,on_hand"


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "goods.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


def run(command, *arguments, **options):
    """What the command printed, to standard output and to standard error."""
    out, err = StringIO(), StringIO()
    call_command(
        command, *map(str, arguments), stdout=out, stderr=err, no_color=True, **options
    )
    return out.getvalue(), err.getvalue()


def refused(*arguments):
    """The exit status, the closing sentence and all that was printed."""
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError) as error:
        call_command(
            "import_products",
            *map(str, arguments),
            stdout=out,
            stderr=err,
            no_color=True,
        )
    return error.value.returncode, str(error.value), out.getvalue() + err.getvalue()


# -- Importing --------------------------------------------------------------------


def test_an_import_reports_what_it_did():
    out, err = run("import_products", FIXTURES / "shopify.csv")

    assert "shopify.csv: Shopify file, UTF-8, 5 products." in out
    assert (
        "line 5: DUNE-SOCK-S-SAND, Dune Sock - S / Sand: price 8.00, on_hand 12" in out
    )
    assert "5 created, 0 changed, 0 unchanged; on hand +47 units." in out
    assert err == ""
    assert Product.objects.count() == 5


def test_the_same_file_again_reports_no_change():
    run("import_products", FIXTURES / "woocommerce.csv")

    out, _ = run("import_products", FIXTURES / "woocommerce.csv")

    assert "No change: all 5 products are as in the file." in out


def test_changes_are_reported_old_to_new(write):
    make_product(sku="A", on_hand=5)

    out, _ = run("import_products", write("sku,price,on_hand", "A,12,3"))

    assert "line 2: A: price 9.99 -> 12.00; on_hand 5 -> 3 (-2)" in out
    assert "0 created, 1 changed, 0 unchanged; on hand -2 units." in out


def test_a_dry_run_reports_and_writes_nothing():
    out, _ = run("import_products", FIXTURES / "ours.csv", dry_run=True)

    assert "Nothing was written. It would be: 3 created" in out
    assert not Product.objects.exists()


def test_what_was_passed_over_is_noted():
    out, _ = run("import_products", FIXTURES / "woocommerce.csv")

    assert 'line 8: "grouped" has no stock of its own' in out


def test_long_reports_are_cut_unless_more_is_asked_for(write):
    path = write(HEADER, *(f"S{n},Spoon,1,1" for n in range(53)))

    short, _ = run("import_products", path, dry_run=True)
    full, _ = run("import_products", path, dry_run=True, verbosity=2)

    assert "and 3 more; -v 2 shows all." in short
    assert "line 52:" not in short
    assert "line 54:" in full


# -- Bad lines: status 1 ----------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_bad_lines_are_named_and_nothing_is_imported(write, options):
    path = write(HEADER, "A,Axe,9,1", "B,Bit,free,1", "C,Cap,9,-1", "A,Adze,9,1")

    status, sentence, printed = refused(path, *options)

    assert status == 1
    assert sentence.startswith("3 bad lines: nothing was imported.")
    assert 'line 3 (B): price: "free" is not a price' in printed
    assert 'line 4 (C): on_hand: "-1" is below zero' in printed
    assert "line 5 (A): the SKU stands in line 2 already" in printed
    assert not Product.objects.exists()
    assert not StockMovement.objects.exists()


# -- Files that cannot be used: status 2 ------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"sku,name,price\n", "no products below"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not a text file"),
        ("sku,name,price\nA,Ключ,1\n".encode("cp1251"), "not UTF-8 text"),
        (b"colour,size\nred,1\n", "not a header we know"),
        (b'sku,name,price\nA,"Axe,1\n', "never closed"),
        (b"sku,name,price\nA," + b"x" * 200_000 + b",1\n", "cell of more than"),
        (b"sku,name,price\nA,A\0xe,1\n", "NUL byte"),
    ],
)
def test_an_unusable_file_ends_with_status_2_and_a_sentence(tmp_path, data, reason):
    path = tmp_path / "goods.csv"
    path.write_bytes(data)

    status, sentence, _ = refused(path)

    assert status == 2
    assert reason in sentence
    assert str(path) in sentence


def test_a_missing_file_and_a_directory_end_with_status_2(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        status, sentence, _ = refused(path)

        assert (status, "cannot be read" in sentence) == (2, True)


# -- Somebody else at work --------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_command_twice_at_once_imports_once():
    outputs = run_at_once(
        lambda name: run("import_products", FIXTURES / name)[0], ["ours.csv"] * 3
    )

    assert sum("3 created" in out for out in outputs) == 1
    assert sum("No change: all 3" in out for out in outputs) == 2
    assert sum(Stock.objects.values_list("on_hand", flat=True)) == 1019


# -- Exporting --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ours.csv", "shopify.csv", "woocommerce.csv"])
def test_an_export_imports_again_without_a_change(tmp_path, name):
    run("import_products", FIXTURES / name)
    path = tmp_path / "export.csv"

    out, _ = run("export_products", output=path)
    again, _ = run("import_products", path)

    assert f"products written to {path}." in out
    assert "No change: all" in again


def test_an_export_without_a_file_goes_to_standard_output():
    make_product("Axe, heavy", sku="A", on_hand=4, safety_threshold=1)

    out, _ = run("export_products")

    (line,) = csv.DictReader(StringIO(out))
    assert (line["sku"], line["name"], line["price"]) == ("A", "Axe, heavy", "9.99")
    assert (line["on_hand"], line["safety_threshold"]) == ("4", "1")
    assert line["published"] == "yes"


def test_an_export_replaces_a_file_whole(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text("what was there before")

    run("export_products", output=path)

    assert path.read_text().startswith("sku,name,price")
    assert list(tmp_path.iterdir()) == [path]


def test_an_export_that_cannot_be_written_ends_with_status_2(tmp_path):
    with pytest.raises(CommandError, match="cannot be written") as error:
        run("export_products", output=tmp_path / "none" / "export.csv")

    assert error.value.returncode == 2


def test_an_export_leaves_a_pipe_what_it_is():
    run("export_products", output=Path("/dev/null"))

    assert not Path("/dev/null").is_file()


def test_an_import_inside_a_transaction_is_undone_with_it():
    with transaction.atomic():
        run("import_products", FIXTURES / "ours.csv")
        transaction.set_rollback(True)

    assert not Product.objects.exists()


def test_export_to_a_workbook_is_taken_back_without_a_change(tmp_path):
    make_product("Clay pot", sku="007")
    path = tmp_path / "goods.xlsx"

    run("export_products", output=path)
    out, _ = run("import_products", path)

    assert "1 products" in out
    assert "No change" in out
