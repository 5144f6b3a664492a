"""Finding products by words: each word may be the beginning of one in the product."""

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db import connection
from django.db.models import F, IntegerField, Value
from django.db.models.functions import Cast

from catalog.models import ProductQuerySet

MOST_WORDS = 8
FEW = 1_000


def query(text: str) -> SearchQuery | None:
    """The full-text query for what somebody typed; None if it has no word in it."""
    words = [word for word in text.split() if any(c.isalnum() for c in word)]
    if not words:
        return None
    quoted = (word.replace("\\", " ").replace("'", " ") for word in words[:MOST_WORDS])
    return SearchQuery(
        " & ".join(f"'{word}':*" for word in quoted), config="simple", search_type="raw"
    )


def matching(products: ProductQuerySet, text: str) -> ProductQuerySet:
    """Those of `products` that hold every word of `text`.

    Takes a query to see if they are few. The database cannot tell, and would walk all
    products in order for a word that none has; many are met soon on that walk.
    """
    search_query = query(text)
    if search_query is None:
        return products.none()
    found = _first(products, search_query)
    if len(found) > FEW:
        return products.filter(search=search_query)
    return products.filter(pk__in=found)


def ranked(products: ProductQuerySet, text: str) -> ProductQuerySet:
    """The same, each with its `relevance`; at most FEW of them.

    Ranking reads every match, so a word that is everywhere is cut off there.
    """
    search_query = query(text)
    if search_query is None:
        return products.none().annotate(relevance=Value(0))
    relevance = Cast(
        SearchRank(F("search"), search_query) * 1_000_000, output_field=IntegerField()
    )
    found = _first(products, search_query)[:FEW]
    return products.filter(pk__in=found).annotate(relevance=relevance)


def _first(products: ProductQuerySet, search_query: SearchQuery) -> list[int]:
    # The planner does not see through a materialized part, so it asks the text index
    # also for a word it takes to be everywhere, and the limit still stops it early.
    matches = products.filter(search=search_query).order_by().values("pk")
    text, values = matches.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH found AS MATERIALIZED ({text}) SELECT * FROM found LIMIT %s",  # noqa: S608
            [*values, FEW + 1],
        )
        return [pk for (pk,) in cursor.fetchall()]
