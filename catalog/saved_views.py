"""Views of the stock desk kept by name: a search, filters and an order, as a query."""

from urllib.parse import parse_qsl, urlencode

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from catalog.models import DeskDefault, DeskView

# What a view keeps of an address; the place in the list is no part of it.
KEPT = ("q", "o", "status", "category", "threshold", "flash", "level")


def tidy(query: str) -> str:
    """The query of a view: what the desk knows, nothing empty, always in one order."""
    found = dict(parse_qsl(query.removeprefix("?"))[:50])
    return urlencode([(name, found[name]) for name in KEPT if name in found])


def of(user: User) -> list[DeskView]:
    """The views somebody has: their own, then the team's; with `is_default`."""
    default = DeskDefault.objects.filter(user=user, view=OuterRef("pk"))
    rows = visible_to(user).select_related("owner").annotate(is_default=Exists(default))
    return sorted(rows, key=lambda view: (view.owner_id != user.pk, view.name.lower()))


def visible_to(user: User) -> QuerySet[DeskView]:
    return DeskView.objects.filter(Q(owner=user) | Q(is_shared=True))


def editable_by(user: User) -> QuerySet[DeskView]:
    """Their own; the superuser tidies up what others have shared, too."""
    if user.is_superuser:
        return visible_to(user)
    return DeskView.objects.filter(owner=user)


@transaction.atomic
def save(user: User, name: str, query: str, *, is_shared: bool = False) -> DeskView:
    """Keep a view under a name; the one that had the name is replaced."""
    view, _made = DeskView.objects.update_or_create(
        owner=user,
        name=name,
        defaults={"query": tidy(query), "is_shared": is_shared},
    )
    return view


def open_with(user: User, view: DeskView | None) -> None:
    """Let the desk open with this view for somebody; None: with all products."""
    if view is None:
        DeskDefault.objects.filter(user=user).delete()
    else:
        DeskDefault.objects.update_or_create(user=user, defaults={"view": view})


def default_of(user: User) -> DeskView | None:
    """What the desk opens with; a view that is no longer shared does not count."""
    rows = visible_to(user).filter(deskdefault__user=user)
    return rows.first()


def names_of(view: DeskView) -> set[str]:
    """The names that the owner of a view has given to others."""
    rows = DeskView.objects.filter(owner=view.owner_id).exclude(pk=view.pk)
    return set(rows.values_list("name", flat=True))
