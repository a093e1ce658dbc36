"""One page of a list, from the address."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

PAGE_SIZE = 50


def page_of(request: HttpRequest, rows: "QuerySet[Any]", size: int = PAGE_SIZE) -> "Page[Any]":
    """Page ?page= of the rows; a number that makes no sense gives the nearest page that does."""
    return Paginator(rows, size).get_page(request.GET.get("page"))
