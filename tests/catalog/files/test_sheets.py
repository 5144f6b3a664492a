"""Files from any program: encodings, delimiters, quoting, and what cannot be used."""

from io import BytesIO

import pytest

from catalog.files import sheets
from catalog.files.sheets import Line, UnusableFile


def read(data):
    if isinstance(data, str):
        data = data.encode()
    return sheets.read(BytesIO(data), is_known=lambda header: "sku" in header)


def test_lines_are_numbered_as_an_editor_shows_them():
    sheet = read('sku,name\n\nA,"two\nlines"\n,\nB,one\n')

    assert sheet.lines == [Line(3, ["A", "two\nlines"]), Line(6, ["B", "one"])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_are_read(end):
    sheet = read(end.join(["sku,name", "A,Ann", 'B,"Bo', 'b"', "C,Cy"]))

    assert [line.number for line in sheet.lines] == [2, 3, 5]
    assert sheet.lines[2].cells == ["C", "Cy"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found(delimiter):
    sheet = read(f'sku{delimiter}name\nA{delimiter}"a, b; c\td"\n')

    assert sheet.header == ["sku", "name"]
    assert sheet.lines[0].cells[1] == "a, b; c\td"
    assert sheet.delimiter == delimiter


@pytest.mark.parametrize(
    ("data", "name", "encoding"),
    [
        ('sku,name\nA,"Émile, café"\n'.encode(), "Émile, café", "UTF-8"),
        ("sku,name\nA,Émile\n".encode("utf-8-sig"), "Émile", "UTF-8"),
        ("sku,name\nA,Größe “M”\n".encode("cp1252"), "Größe “M”", "Windows-1252"),
    ],
)
def test_usual_encodings_are_read(data, name, encoding):
    sheet = read(data)

    assert sheet.header[0] == "sku"
    assert sheet.lines[0].cells[1] == name
    assert sheet.encoding == encoding


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\n\n  \n", "is empty"),
        (b"sku,name\n", "no products below"),
        (b"sku,name\n,\n", "no products below"),
        (b"sku,name\nA,a\0b\n", "line 2 has a NUL byte"),
        ("sku,name\nA,b\n".encode("utf-16"), "UTF-16"),
        ("sku,name\nA,Чайник\n".encode("cp1251"), "line 2 has a byte"),
        ("sku,name\nA,Größe\n".encode() + b"B,\xff\n", "line 3 has a byte"),
        (b"sku,name\nA,\x81\n", "not UTF-8 text"),
        (b"sku,name\nA,\xe9\x01\n", "not UTF-8 text"),
        (b"PK\x03\x04rest", "damaged"),
        (b"\xd0\xcf\x11\xe0rest", "old kind"),
        (b'sku,name\nA,"open\nB,b\n', "opened in the record of line 2 is never closed"),
        (b'sku,name\nA,"in"side\n', "begins in line 2 is not well-formed"),
        (b"sku,name\nA,b\nB," + b"x" * 131_073, "begins in line 3 has a cell of more"),
    ],
)
def test_files_that_cannot_be_used_say_why(data, reason):
    with pytest.raises(UnusableFile, match=reason):
        read(data)


def test_a_file_too_large_for_one_import_is_refused(monkeypatch):
    monkeypatch.setattr(sheets, "MAX_BYTES", 20)

    with pytest.raises(UnusableFile, match="Split it"):
        read("sku,name\n" + "A,a\n" * 10)
