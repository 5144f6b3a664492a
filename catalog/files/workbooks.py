"""An XLSX workbook as rows of text, as if it had been saved as CSV; and the way back.

Only what a cell shows counts: a formula is its last result, a whole number has no
point, a date is written year first.
"""

import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import IO, Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile, ZipFile

from django.utils.translation import gettext as _
from openpyxl import Workbook, load_workbook
from openpyxl.utils.exceptions import InvalidFileException

XLSX = "XLSX"
MARK = b"PK\x03\x04"
MAX_UNPACKED = 512 * 1024 * 1024  # a file of 20 MB comes to 400 MB at most
MAX_GROWTH = 100  # times its size, which no sheet of products comes near
SMALL = 1024 * 1024  # unpacked bytes that are no burden, whatever they grew from
MAX_ROWS = 1_048_576  # what a sheet can have
MAX_CELLS = 10_000_000
# What a damaged or odd workbook makes the libraries raise.
DAMAGE = (
    ArithmeticError,
    AttributeError,
    BadZipFile,
    EOFError,
    InvalidFileException,
    LookupError,
    NotImplementedError,
    ParseError,
    RuntimeError,  # it is encrypted
    TypeError,
    ValueError,
    zlib.error,
)


class UnreadableWorkbook(Exception):
    """The file is no workbook we can read; the message says what to do."""


def rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """The rows of the first sheet with their numbers; blank ones are left out.

    Raises UnreadableWorkbook, also in the middle of a damaged file.
    """
    try:
        _refuse_what_grows(data)
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # some programs write wrong ones
        cells = 0
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
            cells += len(row)
            if number > MAX_ROWS or cells > MAX_CELLS:
                raise _too_large()
            texts = [text(value) for value in row]
            while texts and not texts[-1]:
                texts.pop()
            if texts:
                yield number, texts
        book.close()
    except DAMAGE as error:
        raise UnreadableWorkbook(
            _(
                "The workbook cannot be read; it may be damaged. Save it again as "
                '"Excel workbook (.xlsx)" or as "CSV UTF-8".'
            )
        ) from error


def _refuse_what_grows(data: bytes) -> None:
    with ZipFile(io.BytesIO(data)) as packed:
        unpacked = sum(part.file_size for part in packed.infolist())
    if unpacked > min(MAX_UNPACKED, max(SMALL, MAX_GROWTH * len(data))):
        raise _too_large()


def _too_large() -> UnreadableWorkbook:
    return UnreadableWorkbook(
        _("The workbook is too large. Split it into smaller files.")
    )


def text(value: Any) -> str:
    """What a cell shows, as a CSV file has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, date):
        return value.isoformat()
    return str(value).strip()


def write(file: IO[bytes], lines: Iterable[Sequence[str]]) -> int:
    """Write lines as a workbook of text cells; return how many without the header.

    Text cells keep article numbers such as 00123 as they are.
    """
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    written = 0
    for line in lines:
        sheet.append(line)
        written += 1
    book.save(file)
    return written - 1
