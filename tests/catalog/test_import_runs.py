"""Imports of long files: by a worker, once, with its progress for people to see."""

from contextlib import ExitStack
from datetime import timedelta
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from catalog import import_runs, import_views, imports, stock
from catalog.models import ImportRun, Product, StockMovement
from catalog.thresholds import store
from tests.factories import make_product, make_staff, make_user
from tests.threads import in_background, run_at_once, wait_for_blocked

pytestmark = pytest.mark.django_db

NEW = b"sku,name,price,on_hand\nPOT,Clay pot,9.99,5\nJUG,Jug,5,1\n"
IMPORT = reverse("admin:catalog_product_import_file")
FIRST = timezone.now()


def work(minutes=0):
    return import_runs.work(timezone.now() + timedelta(minutes=minutes))


def make_run(content=NEW, *, actor=None, state="reading"):
    """A run that has come as far as `state`."""
    actor = actor or make_user()
    run = import_runs.begin(content, name="goods.csv", actor=actor)
    if state != "reading":
        work()
    if state == "waiting":
        assert import_runs.confirm(run.pk, actor=actor)
    run.refresh_from_db()
    assert run.state == state
    return run


def again(run):
    run.refresh_from_db()
    return run


# -- Reading ----------------------------------------------------------------------


def test_a_worker_reads_the_file_and_writes_nothing():
    run = make_run(state="ready")

    assert (run.report["created"], run.report["rows"]) == (2, 2)
    assert [row["sku"] for row in run.report["new_rows"]] == ["POT", "JUG"]
    assert not Product.objects.exists()


def test_bad_rows_end_the_run_and_are_named_in_place():
    lines = [b"sku,name,price", b",No sku,1", b"A,No price,", b"B,Odd,abc", b"C,Cy,2"]
    run = import_runs.begin(b"\n".join(lines), name="x.csv", actor=make_user())

    work()

    assert again(run).state == "refused"
    assert [bad["line"] for bad in run.report["bad_lines"]] == [2, 3, 4]
    assert bytes(run.content) == b""


def test_a_file_that_changes_nothing_is_done():
    imports.load(BytesIO(NEW), name="goods.csv")
    run = import_runs.begin(NEW, name="goods.csv", actor=make_user())

    work()

    assert again(run).state == "done"
    assert run.report["unchanged"] == 2


def test_a_file_nobody_can_read_says_why():
    run = import_runs.begin(b"colour\nred\n", name="x.csv", actor=make_user())

    work()

    assert again(run).state == "unusable"
    assert "not a header we know" in run.note


# -- Carrying out -----------------------------------------------------------------


def test_a_confirmed_run_is_imported_under_the_name_of_who_began_it():
    actor = make_user()
    run = make_run(actor=actor, state="waiting")

    work()

    assert again(run).state == "done"
    assert run.finished_at
    assert bytes(run.content) == b""
    assert Product.objects.get(sku="POT").stock.on_hand == 5
    assert {movement.actor for movement in StockMovement.objects.all()} == {actor}


def test_nothing_is_imported_before_somebody_says_so():
    run = make_run(state="ready")

    assert work(60) == 0

    assert again(run).state == "ready"
    assert not Product.objects.exists()


def test_only_who_began_a_run_confirms_it_and_once():
    actor = make_user()
    run = make_run(actor=actor, state="ready")

    assert not import_runs.confirm(run.pk, actor=make_user())
    assert import_runs.confirm(run.pk, actor=actor)
    assert not import_runs.confirm(run.pk, actor=actor)


def test_a_run_imported_is_not_imported_again():
    run = make_run(state="waiting")
    work()
    pot = Product.objects.get(sku="POT")
    stock.receive(pot.pk, 5, note=stock.Note())

    assert work(60) == 0
    import_runs._work_on(run)  # a worker that slept through it

    assert Product.objects.get(sku="POT").stock.on_hand == 10
    assert again(run).state == "done"


@pytest.mark.django_db(transaction=True)
def test_two_workers_with_the_same_run_import_it_once():
    store()
    pot = make_product("Pot", sku="POT", on_hand=1)
    run = make_run(b"sku,on_hand\nPOT,5\n", state="waiting")
    twins = [ImportRun.objects.get(pk=run.pk) for _ in range(4)]

    run_at_once(import_runs._work_on, twins)

    assert again(run).state == "done"
    assert pot.movements.filter(kind="import").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_run_given_up_under_its_worker_imports_nothing():
    store()
    pot = make_product("Pot", sku="POT", on_hand=1)
    run = make_run(b"sku,on_hand\nPOT,5\n", state="waiting")
    late = ImportRun.objects.get(pk=run.pk)
    late.tries = import_runs.MOST_TRIES + 1

    with ExitStack() as afterwards, transaction.atomic():
        stock.lock([pot.pk])
        afterwards.enter_context(in_background(lambda: import_runs._work_on(run)))
        wait_for_blocked(1)
        run_at_once(import_runs._work_on, [late])

    assert ImportRun.objects.get(pk=run.pk).state == "failed"
    assert pot.movements.filter(kind="import").count() == 0


@pytest.mark.django_db(transaction=True)
def test_two_ticks_at_once_take_a_run_once():
    store()
    make_run(state="waiting")

    taken = run_at_once(lambda _: work(), range(4))

    assert sum(taken) == 1
    assert Product.objects.count() == 2


def test_a_shop_that_has_changed_is_shown_first():
    pot = make_product("Pot", sku="POT", on_hand=1)
    run = make_run(b"sku,on_hand\nPOT,5\n", state="waiting")
    stock.receive(pot.pk, 1, note=stock.Note())

    work()

    assert again(run).state == "ready"
    assert "has changed since the report" in run.note
    assert run.report["changed_rows"][0]["fields"] == ["on_hand 2 -> 5 (+3)"]


# -- Workers that die -------------------------------------------------------------


def test_a_run_whose_worker_died_is_taken_again():
    run = make_run(state="waiting")
    ImportRun.objects.update(beat_at=timezone.now(), tries=1)

    assert work() == 0
    assert work(3) == 1

    assert again(run).state == "done"


def test_a_run_that_kills_its_workers_is_given_up():
    run = make_run(state="waiting")
    ImportRun.objects.update(tries=import_runs.MOST_TRIES)

    work()

    assert again(run).state == "failed"
    assert not Product.objects.exists()


def test_a_run_that_fails_says_so_and_keeps_nothing(monkeypatch):
    run = make_run(state="waiting")

    def broken(*args, **fields):
        raise RuntimeError("no room")

    monkeypatch.setattr(stock, "open_many", broken)
    work()

    assert again(run).state == "failed"
    assert "no room" in run.note
    assert not Product.objects.exists()


def test_old_runs_are_forgotten():
    make_run(state="ready")

    import_runs.forget_old(timezone.now() + import_runs.KEEP + timedelta(hours=1))

    assert not ImportRun.objects.exists()


# -- Progress ---------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_progress_is_seen_before_the_import_is_committed(monkeypatch):
    store()
    run = make_run(state="waiting")
    seen = []
    true_open = stock.open_many

    def look(*args, **fields):
        found = ImportRun.objects.get(pk=run.pk)
        seen.append((found.percent, found.rows_done, found.beat_at is not None))
        true_open(*args, **fields)

    monkeypatch.setattr(imports, "BATCH", 1)
    monkeypatch.setattr(stock, "open_many", look)
    work()

    assert seen == [(62, 1, True), (81, 1, True)]
    assert again(run).percent == 100


# -- Pages ------------------------------------------------------------------------


@pytest.fixture
def every_file_is_long(monkeypatch):
    monkeypatch.setattr(import_views, "LONG", 0)


def upload(client, content=NEW):
    file = SimpleUploadedFile("goods.csv", content)
    return client.post(IMPORT, {"upload": "1", "file": file})


def test_long_file_is_left_to_a_worker_and_its_page_follows(
    admin_client, every_file_is_long
):
    response = upload(admin_client)
    run = ImportRun.objects.get()
    page = reverse("admin:catalog_product_import_run", args=[run.pk])
    assert response.headers["Location"] == page

    reading = admin_client.get(page).content.decode()
    assert "<progress" in reading
    assert 'http-equiv="refresh"' in reading
    assert "waits for a worker" in reading
    work()
    ready = admin_client.get(page).content.decode()
    assert "Import all of it" in ready
    assert "<progress" not in ready
    admin_client.post(page)
    admin_client.post(page)
    fragment = admin_client.get(page, headers={"HX-Target": "import-run"})
    assert "about 0 of 2 rows" in fragment.content.decode()
    assert "<html" not in fragment.content.decode()
    work()

    assert "2 new, 0 changed" in admin_client.get(page).content.decode()
    assert "goods.csv" in admin_client.get(IMPORT).content.decode()


def test_short_file_is_shown_at_once(admin_client):
    response = upload(admin_client)

    assert response.status_code == 200
    assert not ImportRun.objects.exists()


def test_run_of_another_person_is_not_mine(client):
    run = make_run(state="ready")
    client.force_login(make_staff("owner"))
    page = reverse("admin:catalog_product_import_run", args=[run.pk])

    assert client.get(page).status_code == 404
    assert client.post(page).status_code == 404
    assert again(run).state == "ready"


def test_only_who_may_import_sees_a_run(client):
    viewer = make_staff("viewer")
    run = make_run(actor=viewer, state="ready")
    client.force_login(viewer)
    page = reverse("admin:catalog_product_import_run", args=[run.pk])

    assert client.get(page).status_code == 403
    assert client.post(page).status_code == 403
