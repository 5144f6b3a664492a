"""Landmarks that the dashboard's theme lacks."""

from django import template
from django.template.defaultfilters import stringfilter

register = template.Library()


@register.filter(is_safe=True)
@stringfilter
def with_main(page: str) -> str:
    """The theme's page, with the part beside its menu as the main landmark."""
    return page.replace('<div id="main"', '<div id="main" role="main"', 1)
