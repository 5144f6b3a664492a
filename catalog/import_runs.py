"""Imports of long files: a worker reads and carries them out, a page follows.

Each step may be repeated and may be taken by two workers at once: what a run came to is
written in the transaction of the import itself, and only once.
"""

import logging
import zlib
from datetime import datetime, timedelta
from io import BytesIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.db import connections, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from catalog import imports
from catalog.import_plan import Plan
from catalog.imports import ImportRefused, PlanIsStale, UnusableFile
from catalog.models import ImportRun

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

State = ImportRun.State
SHOWN = 100  # rows of each kind that a report keeps
LEASE = timedelta(seconds=120)  # a worker that is silent for so long is gone
MOST_TRIES = 3
KEEP = timedelta(days=7)


class Overtaken(Exception):
    """Somebody else has ended the run, and people were told of that end."""


def begin(content: bytes, *, name: str, actor: "User") -> ImportRun:
    """Keep a file for a worker to look at; nothing is imported before `confirm`."""
    packed = zlib.compress(content, 1)
    return ImportRun.objects.create(file_name=name[:200], content=packed, actor=actor)


def confirm(run_id: UUID, *, actor: "User") -> bool:
    """Have a worker do what the run's report says; False if it is not waiting for that.

    Only who began the run confirms it. A second click changes nothing.
    """
    mine = ImportRun.objects.filter(pk=run_id, actor=actor, state=State.READY)
    changed = mine.update(
        state=State.WAITING, percent=0, tries=0, beat_at=None, note=""
    )
    return changed == 1


def work(now: datetime, *, limit: int = 10) -> int:
    """Do what busy runs wait for, the oldest first; return how many were taken.

    One whose worker has died is taken again, a few times. Safe to run twice at once.
    """
    due = ImportRun.objects.filter(state__in=ImportRun.BUSY).filter(
        Q(beat_at=None) | Q(beat_at__lt=now - LEASE)
    )
    taken = 0
    for pk in list(due.order_by("created_at").values_list("pk", flat=True)[:limit]):
        if due.filter(pk=pk).update(beat_at=timezone.now(), tries=F("tries") + 1):
            taken += 1
            _work_on(ImportRun.objects.select_related("actor").get(pk=pk))
    return taken


def forget_old(now: datetime) -> int:
    """Delete runs nobody needs any more, with their files."""
    return ImportRun.objects.filter(created_at__lt=now - KEEP).delete()[0]


def _work_on(run: ImportRun) -> None:
    if run.tries > MOST_TRIES:
        _end(run, State.FAILED, note=_("It broke off again and again."))
        return
    try:
        if run.state == State.READING:
            _read(run)
        else:
            _carry_out(run)
    except UnusableFile as error:
        _end(run, State.UNUSABLE, note=str(error))
    except Exception as error:
        logger.exception("import %s of %s failed", run.pk, run.file_name)
        note = _("Something went wrong here, and nothing was imported: %(error)s")
        _end(run, State.FAILED, note=note % {"error": error})


def _read(run: ImportRun) -> None:
    with _Told(run) as told:
        told(0.05)
        plan = imports.plan(_file(run), name=run.file_name)
    if plan.bad_lines:
        _end(run, State.REFUSED, plan)
    elif not plan.changes:
        _end(run, State.DONE, plan, note=_("The shop has all of this already."))
    else:
        _move(run, State.READY, plan)


def _carry_out(run: ImportRun) -> None:
    with _Told(run) as told:
        try:
            with transaction.atomic():
                imports.hold()  # also against another worker with this very run
                if not _still(run).exists():
                    return
                result = imports.carry_out(
                    _file(run),
                    name=run.file_name,
                    mark=run.mark,
                    actor=run.actor,
                    progress=told,
                )
                if not _end(run, State.DONE, result.plan):
                    raise Overtaken(run.pk)
        except Overtaken:
            logger.warning("import %s was given up meanwhile: nothing done", run.pk)
        except ImportRefused as refusal:
            _end(run, State.REFUSED, refusal.plan)
        except PlanIsStale as stale:
            _move(run, State.READY, stale.plan, note=_why_again())
    logger.info("import %s of %s: over", run.pk, run.file_name)


def _why_again() -> str:
    return _(
        "The shop has changed since the report, so nothing was imported. This is what "
        "the file would do now."
    )


def _file(run: ImportRun) -> BytesIO:
    return BytesIO(zlib.decompress(bytes(run.content)))


def _still(run: ImportRun) -> Any:
    """The run's row, if nobody has brought it further since it was read."""
    return ImportRun.objects.filter(pk=run.pk, state=run.state)


def _move(
    run: ImportRun,
    state: str,
    plan: Plan | None = None,
    *,
    note: str = "",
    **fields: Any,
) -> bool:
    """Bring the run further; False if somebody else has."""
    if plan is not None:
        fields |= {"report": plan.report(most=SHOWN), "mark": plan.mark}
    changed: int = _still(run).update(
        state=state, percent=100, note=note[:500], beat_at=None, tries=0, **fields
    )
    return changed == 1


def _end(
    run: ImportRun, state: str, plan: Plan | None = None, *, note: str = ""
) -> bool:
    """The run is over; its file is not needed any more. False if it was before."""
    return _move(run, state, plan, note=note, content=b"", finished_at=timezone.now())


class _Told:
    """Writes how far a run is, beside the transaction that does the work.

    A connection of its own, so that a page sees it before the import commits.
    """

    def __init__(self, run: ImportRun) -> None:
        self.run = run
        self.connection = connections["default"].copy()
        self.told = -1

    def __call__(self, share: float) -> None:
        percent = min(99, int(100 * share))
        if percent == self.told:
            return
        self.told = percent
        with self.connection.cursor() as cursor:
            cursor.execute(
                "UPDATE catalog_importrun SET percent = %s, beat_at = %s "
                "WHERE id = %s AND state = %s",
                [percent, timezone.now(), self.run.pk, self.run.state],
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()
