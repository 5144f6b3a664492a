"""manage.py export_products: all products as a file that import_products takes back."""

import csv
import os
from io import TextIOWrapper
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import exports
from catalog.files import workbooks


class Command(BaseCommand):
    help = (
        "Write all products and their stock in the format that import_products reads: "
        "as CSV, or as a workbook when the file ends in .xlsx. Exit status: 0 done, 2 "
        "the file cannot be written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="the file; else standard output"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["output"]
        if path is None:
            _write(self.stdout)  # type: ignore[arg-type]
            return
        try:
            number = _replace(path)
        except OSError as error:
            raise CommandError(
                f"{path} cannot be written: {error.strerror}.", returncode=2
            ) from error
        self.stdout.write(f"{number} products written to {path}.")


def _replace(path: Path) -> int:
    """Write the file beside its place, then put it there: no half file is ever seen."""
    if path.exists() and not path.is_file():  # a terminal or a pipe stays what it is
        with path.open("w", encoding="utf-8", newline="") as device:
            return _write(device)
    is_book = path.suffix.lower() == ".xlsx"
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            if is_book:
                number = workbooks.write(file, exports.lines())
            else:
                text = TextIOWrapper(file, encoding="utf-8", newline="")
                number = _write(text)
                text.detach()
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return number


def _write(file: IO[str]) -> int:
    """Write header and products; return how many products."""
    writer = csv.writer(file, lineterminator="\n")
    written = 0
    for line in exports.lines():
        writer.writerow(line)
        written += 1
    return written - 1
