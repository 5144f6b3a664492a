"""XLSX files: what a cell shows is what is read, and what cannot be read is said."""

from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from openpyxl import Workbook

from catalog import exports, imports
from catalog.files import sheets, workbooks
from catalog.files.sheets import Line, UnusableFile
from catalog.models import Product
from tests.factories import make_category, make_product

HEADER = ["sku", "name", "price", "on_hand"]


def book_of(*rows):
    """A workbook with these rows in its first sheet, as a file."""
    book = Workbook()
    for row in rows:
        book.active.append(row)
    file = BytesIO()
    book.save(file)
    file.seek(0)
    return file


def read(file):
    return sheets.read(file, is_known=lambda header: "sku" in header)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("  pot ", "pot"),
        (12, "12"),
        (12.0, "12"),
        (9.99, "9.99"),
        (0.1 + 0.2, "0.3"),
        (1e15, "1000000000000000"),
        (True, "yes"),
        (datetime(2026, 12, 12, 20, 0), "2026-12-12 20:00:00"),
        (date(2026, 12, 12), "2026-12-12"),
    ],
)
def test_a_cell_is_read_as_it_is_shown(value, shown):
    assert workbooks.text(value) == shown


def test_lines_are_numbered_as_the_spreadsheet_shows_them():
    sheet = read(book_of(HEADER, [], ["A", "Ann", 1, None], [None], ["B", "Bo"]))

    assert sheet.header == HEADER
    assert sheet.lines == [Line(3, ["A", "Ann", "1", ""]), Line(5, ["B", "Bo", "", ""])]
    assert sheet.encoding == "XLSX"


def test_cells_beyond_the_header_are_kept_for_the_reader_to_refuse():
    sheet = read(book_of(["sku"], ["A", None, "extra"]))

    assert sheet.lines == [Line(2, ["A", "", "extra"])]


def test_an_empty_workbook_and_one_without_products_are_said():
    with pytest.raises(UnusableFile, match="empty"):
        read(book_of())
    with pytest.raises(UnusableFile, match="no products"):
        read(book_of(HEADER))


def test_a_zip_that_is_no_workbook_is_said():
    file = BytesIO()
    with ZipFile(file, "w") as packed:
        packed.writestr("letter.txt", "Dear shop")
    file.seek(0)

    with pytest.raises(UnusableFile, match="may be damaged"):
        read(file)


def test_a_workbook_that_unpacks_to_too_much_is_not_opened(monkeypatch):
    monkeypatch.setattr(workbooks, "MAX_UNPACKED", 1000)
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as packed:
        packed.writestr("xl/workbook.xml", "x" * 2000)
    file.seek(0)

    with pytest.raises(UnusableFile, match="too large"):
        read(file)


def with_sheet(xml):
    """A workbook whose only sheet is this text, as a file."""
    file = BytesIO()
    with ZipFile(book_of(HEADER)) as book, ZipFile(file, "w", ZIP_DEFLATED) as packed:
        for part in book.namelist():
            is_sheet = part == "xl/worksheets/sheet1.xml"
            packed.writestr(part, xml if is_sheet else book.read(part))
    file.seek(0)
    return file


def sheet_of(rows):
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'


def test_a_small_file_that_grows_a_thousand_times_is_not_opened():
    with pytest.raises(UnusableFile, match="too large"):
        read(with_sheet(sheet_of(" " * 5_000_000)))


def test_rows_beyond_the_end_of_a_sheet_are_not_counted_up_to():
    cell = '<c r="A{0}"><v>1</v></c>'
    far = 2_000_000_000
    rows = f'<row r="1">{cell.format(1)}</row><row r="{far}">{cell.format(far)}</row>'

    with pytest.raises(UnusableFile, match="too large"):
        read(with_sheet(sheet_of(rows)))


def test_wide_rows_may_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(workbooks, "MAX_CELLS", 40_000)
    rows = "".join(f'<row r="{n}"><c r="XFD{n}"/></row>' for n in (1, 2, 3))

    with pytest.raises(UnusableFile, match="too large"):
        read(with_sheet(sheet_of(rows)))


@pytest.mark.parametrize(
    "xml", ["<worksheet", sheet_of('<row r="x"/>'), "not a sheet", ""]
)
def test_a_workbook_with_broken_parts_is_said(xml):
    with pytest.raises(UnusableFile, match="may be damaged"):
        read(with_sheet(xml))


@pytest.mark.parametrize("place", [300, 600, 1000, 2000, 4000])
def test_a_workbook_with_damaged_bytes_is_said(place):
    rows = [[f"{n * 7919 % 10007}" for n in range(40)] for _ in range(60)]
    data = bytearray(book_of(HEADER, *rows).getvalue())
    data[place : place + 40] = bytes(range(40))

    with pytest.raises(UnusableFile, match="may be damaged"):
        read(BytesIO(bytes(data)))


@pytest.mark.django_db
def test_products_come_from_a_workbook():
    imports.load(book_of(HEADER, ["00123", "Clay pot", 9.99, 5]), name="goods.xlsx")

    product = Product.objects.get(sku="00123")
    assert (product.price, product.stock.on_hand) == (Decimal("9.99"), 5)


@pytest.mark.django_db
def test_three_bad_rows_are_named_with_their_numbers():
    rows = [
        ["A", "Ann", "abc", 1],
        ["B", "", 1, 1],
        ["C", "Cy", 2, -1],
        ["D", "Di", 3, 1],
    ]

    plan = imports.plan(book_of(HEADER, *rows), name="goods.xlsx")

    assert [bad.line for bad in plan.bad_lines] == [2, 3, 4]
    assert [change.sku for change in plan.created] == ["D"]


@pytest.mark.django_db
def test_an_exported_workbook_is_taken_back_without_a_change():
    make_product("=1+1", sku="007", category=make_category("Garden"), vendor="Ann & Co")
    file = BytesIO()

    written = workbooks.write(file, exports.lines())
    file.seek(0)
    plan = imports.plan(file, name="goods.xlsx")

    assert written == 1
    assert (plan.changes, plan.bad_lines, plan.unchanged) == ([], [], 1)
