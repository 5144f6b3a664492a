import pytest
from django.urls import reverse

from catalog import saved_views
from catalog.models import DeskDefault, DeskView
from tests.factories import make_category, make_product, make_staff

pytestmark = pytest.mark.django_db

DESK = "/admin/catalog/stock/"
VIEWS = "/admin/catalog/stock/views/"


@pytest.fixture
def editor():
    return make_staff("stock editor")


@pytest.fixture
def desk(client, editor):
    client.force_login(editor)
    return client


def step(view, name):
    return reverse("admin:catalog_stock_view", args=[view.pk]), {"step": name}


def test_view_keeps_search_filters_and_order_and_nothing_else(desk, editor):
    query = "?cursor=abc&q=pot&status=&o=-on_hand&level=low&nonsense=1&p=3"

    response = desk.post(VIEWS, {"name": "Low pots", "query": query})

    view = DeskView.objects.get()
    assert (view.owner, view.query) == (editor, "q=pot&o=-on_hand&level=low")
    assert response.url == f"{DESK}?{view.query}&view={view.pk}"


def test_view_is_a_tab_that_is_marked_while_it_is_shown(desk, editor):
    view = saved_views.save(editor, "Empty", "status=out_of_stock")

    shown = desk.get(f"{DESK}?status=out_of_stock").context["views"]
    other = desk.get(f"{DESK}?status=in_stock").context["views"]

    assert shown == [(view, f"{DESK}?{view.query}&view={view.pk}", True)]
    assert [is_shown for _view, _url, is_shown in other] == [False]


def test_view_is_private_until_it_is_shared(desk):
    other = make_staff("stock editor")
    saved_views.save(other, "Mine", "status=out_of_stock")
    shared = saved_views.save(other, "Ours", "status=low_stock", is_shared=True)

    views = desk.get(DESK).context["views"]

    assert [view for view, _url, _is_shown in views] == [shared]


def test_saving_under_a_name_of_ours_replaces_the_view(desk, editor):
    desk.post(VIEWS, {"name": "Low", "query": "status=low_stock"})
    desk.post(VIEWS, {"name": "Low", "query": "level=low", "is_shared": "on"})

    view = DeskView.objects.get()
    assert (view.query, view.is_shared) == ("level=low", True)


def test_desk_opens_with_the_default_view_and_all_products_stay_in_reach(desk, editor):
    make_product("Gone", on_hand=0)
    make_product("Clay pot")
    desk.post(
        VIEWS, {"name": "Empty", "query": "status=out_of_stock", "is_default": "on"}
    )

    opened = desk.get(DESK, follow=True)
    every = desk.get(f"{DESK}?view=all")

    assert [line.name for line in opened.context["lines"]] == ["Gone"]
    assert len(every.context["lines"]) == 2


def test_filters_taken_away_do_not_open_the_default_view(desk, editor):
    view = saved_views.save(editor, "Low", "status=low_stock")
    saved_views.open_with(editor, view)

    page = desk.get(f"{DESK}?status=low_stock&view={view.pk}").content.decode()
    form = page[page.index("desk-filters") :]
    form = form[: form.index("</form>")]

    assert '<input type="hidden" name="view" value="all">' in form
    assert desk.get(f"{DESK}?view=all").status_code == 200


def test_default_of_one_is_not_the_default_of_another(desk, editor):
    view = saved_views.save(editor, "Low", "level=low", is_shared=True)
    other = make_staff("stock editor")
    saved_views.open_with(other, view)

    assert desk.get(DESK).status_code == 200
    desk.force_login(other)
    assert desk.get(DESK).status_code == 302


def test_default_that_is_no_longer_shared_opens_nothing(desk, editor):
    other = make_staff("stock editor")
    view = saved_views.save(other, "Low", "level=low", is_shared=True)
    saved_views.open_with(editor, view)
    saved_views.save(other, "Low", "level=low", is_shared=False)

    assert desk.get(DESK).status_code == 200


def test_view_is_renamed_and_shared(desk, editor):
    view = saved_views.save(editor, "Low", "level=low")
    url, data = step(view, "rename")

    desk.post(url, {**data, "name": "Attention", "is_shared": "on"})

    view.refresh_from_db()
    assert (view.name, view.is_shared, view.query) == ("Attention", True, "level=low")


@pytest.mark.parametrize("name", ["", "Other", "x" * 61])
def test_view_keeps_its_name_if_the_new_one_will_not_do(desk, editor, name):
    saved_views.save(editor, "Other", "")
    view = saved_views.save(editor, "Low", "level=low")
    url, data = step(view, "rename")

    desk.post(url, {**data, "name": name})

    view.refresh_from_db()
    assert view.name == "Low"


def test_view_without_a_name_is_not_saved(desk):
    response = desk.post(VIEWS, {"name": " ", "query": "level=low"})

    assert response.status_code == 422
    assert not DeskView.objects.exists()


def test_deleted_view_is_nobodys_default_any_more(desk, editor):
    view = saved_views.save(editor, "Low", "level=low")
    saved_views.open_with(editor, view)
    url, data = step(view, "delete")

    desk.post(url, data)

    assert not DeskView.objects.exists()
    assert not DeskDefault.objects.exists()


@pytest.mark.parametrize("name", ["delete", "rename"])
def test_view_of_somebody_else_is_not_mine_to_change(desk, name):
    view = saved_views.save(make_staff("stock editor"), "Ours", "", is_shared=True)
    url, data = step(view, name)

    assert desk.post(url, {**data, "name": "Hacked"}).status_code == 404
    view.refresh_from_db()
    assert view.name == "Ours"


def test_private_view_of_somebody_else_cannot_be_opened_with(desk, editor):
    view = saved_views.save(make_staff("stock editor"), "Theirs", "level=low")
    url, data = step(view, "open")

    assert desk.post(url, data).status_code == 404
    assert not DeskDefault.objects.exists()


def test_viewer_uses_what_is_shared_and_finds_no_way_to_save(client, editor):
    saved_views.save(editor, "Ours", "level=low", is_shared=True)
    client.force_login(make_staff("viewer"))

    html = client.get(DESK).content.decode()

    assert "Ours" in html
    assert "Save this view" not in html
    assert client.get(VIEWS).status_code == 403


def test_views_page_lists_what_can_be_done(desk, editor):
    saved_views.save(editor, "Mine", "")
    saved_views.save(make_staff("stock editor"), "Ours", "", is_shared=True)

    rows = desk.get(VIEWS).context["views"]

    assert [(view.name, editable) for view, _url, editable in rows] == [
        ("Mine", True),
        ("Ours", False),
    ]


def test_view_that_would_be_too_long_is_refused_in_words(desk):
    response = desk.post(VIEWS, {"name": "Long", "query": f"q={'ä' * 400}"})

    assert response.status_code == 422
    assert "too long" in response.content.decode()


@pytest.mark.parametrize("query", ["cursor=x", "cursor=%00", "e=1", "o=nonsense"])
def test_odd_addresses_show_the_first_page(desk, query):
    make_product(category=make_category())

    assert len(desk.get(f"{DESK}?{query}").context["lines"]) == 1
