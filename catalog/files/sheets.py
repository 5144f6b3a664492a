"""A file of products as a header and numbered lines, whatever program saved it.

Knows workbooks, encodings, delimiters and quoting, nothing of products. Whatever makes
a file unusable as a whole raises UnusableFile with a sentence that says what to do.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from django.utils.translation import gettext as _

from catalog.files import workbooks

MAX_BYTES = 100 * 1024 * 1024
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
UTF16 = (b"\xff\xfe", b"\xfe\xff")
OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Bytes that only make sense as UTF-8, and words that no Western language has.
UTF8_SIGN = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")
FOREIGN_WORD = re.compile(rb"[\xc0-\xff]{4}")
UTF8, CP1252 = "UTF-8", "Windows-1252"


class UnusableFile(Exception):
    """Nothing of the file can be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """One record: the number of the line it begins in, and its cells."""

    number: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The header and the lines below it; blank lines are left out."""

    header: list[str]
    lines: list[Line]
    encoding: str
    delimiter: str


def read(
    file: BinaryIO,
    *,
    is_known: Callable[[Sequence[str]], bool],
    most_lines: int | None = None,
) -> Sheet:
    """The file as a sheet; the delimiter is the one whose header `is_known`.

    With no such delimiter it is the one that gives most columns, and the caller says
    what is wrong with the header. A file of more than `most_lines` is not read on.
    """
    data = file.read(MAX_BYTES + 1)
    _refuse_what_is_too_large(data)
    if data.startswith(workbooks.MARK):
        encoding, delimiter = workbooks.XLSX, ","
        records = _rows(data)
    else:
        text, encoding = _decode(data)
        delimiter = _delimiter(text, is_known)
        records = _records(text, delimiter)
    header = next(records, None)
    if header is None:
        raise UnusableFile(_("The file is empty."))
    lines = list(islice(records, most_lines and most_lines + 1))
    if most_lines and len(lines) > most_lines:
        raise UnusableFile(
            _("The file has more than %(limit)s lines. Split it into smaller files.")
            % {"limit": most_lines}
        )
    if not lines:
        raise UnusableFile(_("The file has a header but no products below it."))
    return Sheet(
        [" ".join(c.split()) for c in header.cells], lines, encoding, delimiter
    )


def _rows(data: bytes) -> Iterator[Line]:
    """The rows of a workbook, each as wide as its header at least."""
    width = 0
    try:
        for number, texts in workbooks.rows(data):
            width = width or len(texts)
            yield Line(number, [*texts, *[""] * (width - len(texts))])
    except workbooks.UnreadableWorkbook as error:
        raise UnusableFile(str(error)) from error


def _decode(data: bytes) -> tuple[str, str]:
    _refuse_what_is_no_text(data)
    try:
        return data.decode("utf-8-sig"), UTF8
    except UnicodeDecodeError as error:
        place = {"line": data.count(b"\n", 0, error.start) + 1}
    if not any(sign.search(data) for sign in (UTF8_SIGN, FOREIGN_WORD, CONTROL)):
        with suppress(UnicodeDecodeError):
            return data.decode("cp1252"), CP1252
    raise UnusableFile(
        _(
            "The file is not UTF-8 text: line %(line)d has a byte that does not belong "
            'there. Save it again as "CSV UTF-8".'
        )
        % place
    )


def _refuse_what_is_too_large(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise UnusableFile(
            _("The file is larger than %(limit)d MB. Split it into smaller files.")
            % {"limit": MAX_BYTES // 1024 // 1024}
        )


def _refuse_what_is_no_text(data: bytes) -> None:
    if data.startswith(OLD_WORKBOOK):
        raise UnusableFile(
            _(
                "This is a workbook of an old kind (.xls). Save it as "
                '"Excel workbook (.xlsx)" or as "CSV UTF-8" first.'
            )
        )
    if data.startswith(UTF16):
        raise UnusableFile(_('The file is UTF-16 text. Save it again as "CSV UTF-8".'))
    if (nul := data.find(b"\0")) >= 0:
        raise UnusableFile(
            _(
                "The file is not a text file: line %(line)d has a NUL byte. "
                "Export it again as CSV."
            )
            % {"line": data.count(b"\n", 0, nul) + 1}
        )


def _delimiter(text: str, is_known: Callable[[Sequence[str]], bool]) -> str:
    headers = {}
    for delimiter in DELIMITERS:
        try:
            first = next(_records(text, delimiter), None)
        except UnusableFile:
            continue
        headers[delimiter] = first.cells if first else []
        if is_known(headers[delimiter]):
            return delimiter
    return max(headers, key=lambda delimiter: len(headers[delimiter]), default=",")


def _records(text: str, delimiter: str) -> Iterator[Line]:
    """Records with the line each begins in; a quoted cell may hold line ends."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UnusableFile(_why(error, begins)) from None
        if any(cell.strip() for cell in cells):
            yield Line(begins, [cell.strip() for cell in cells])


def _why(error: csv.Error, line: int) -> str:
    if "field larger" in str(error):
        return _(
            "The record that begins in line %(line)d has a cell of more than "
            "%(limit)d characters. Perhaps a quotation mark is not closed."
        ) % {"line": line, "limit": csv.field_size_limit()}
    if "unexpected end" in str(error):
        return _(
            "A quotation mark that is opened in the record of line %(line)d is never "
            "closed. Close it, or export the file again."
        ) % {"line": line}
    return _(
        "The record that begins in line %(line)d is not well-formed CSV: a quotation "
        "mark stands inside a cell. Double it, or export the file again."
    ) % {"line": line}
