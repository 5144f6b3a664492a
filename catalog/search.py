"""Finding products by words: each word may be the beginning of one in the product."""

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import F, IntegerField, Value
from django.db.models.functions import Cast

from catalog.models import Product, ProductQuerySet

MOST_WORDS = 8
MOST_RANKED = 1_000


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
    """Those of `products` that hold every word of `text`."""
    search_query = query(text)
    if search_query is None:
        return products.none()
    return products.filter(search=search_query)


def ranked(products: ProductQuerySet, text: str) -> ProductQuerySet:
    """The same, each with its `relevance`; the best of at most MOST_RANKED matches.

    Ranking reads every match, so a word that is everywhere is cut off there.
    """
    search_query = query(text)
    if search_query is None:
        return products.none().annotate(relevance=Value(0))
    matches = products.filter(search=search_query).values("pk")[:MOST_RANKED]
    relevance = Cast(
        SearchRank(F("search"), search_query) * 1_000_000, output_field=IntegerField()
    )
    return Product.objects.filter(pk__in=matches).annotate(relevance=relevance)
