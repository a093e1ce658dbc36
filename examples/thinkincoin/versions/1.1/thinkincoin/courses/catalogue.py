"""Puts the courses of catalogue.json into the database."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction

from thinkincoin.courses.models import Author, Authorship, Course, Lesson, Question

FIRST_COURSE_AT = datetime(2025, 9, 1, 8, 0, tzinfo=UTC)


def read_catalogue() -> list[dict[str, Any]]:
    catalogue: list[dict[str, Any]] = json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))
    return catalogue


@transaction.atomic
def load_catalogue() -> list[Course]:
    """Make or renew every course; progress stays, because lessons keep their identity by course and position."""
    return [load_course(entry, position) for position, entry in enumerate(read_catalogue(), start=1)]


def load_course(entry: dict[str, Any], position: int) -> Course:
    fields = {name: entry[name] for name in ("title", "summary", "level")}
    fields |= {"position": position, "published_at": FIRST_COURSE_AT + timedelta(weeks=3 * position)}
    course, _ = Course.objects.update_or_create(slug=entry["slug"], defaults=fields)
    load_authors(course, entry["byline"].split(", "))
    load_lessons(course, entry["lessons"])
    return course


def load_authors(course: Course, names: list[str]) -> None:
    """Give the course these authors in this order; authors themselves are kept with what is said about them."""
    if course.byline == ", ".join(names):
        return
    course.authorships.all().delete()
    for position, name in enumerate(names, start=1):
        author, _ = Author.objects.get_or_create(name=name)
        Authorship.objects.create(course=course, author=author, position=position)


def load_lessons(course: Course, entries: list[dict[str, Any]]) -> None:
    for position, entry in enumerate(entries, start=1):
        fields = {name: entry[name] for name in ("title", "body", "minutes")}
        lesson, _ = Lesson.objects.update_or_create(course=course, position=position, defaults=fields)
        for number, (text, options, answer) in enumerate(entry["questions"], start=1):
            question = {"text": text, "options": options, "answer": answer}
            Question.objects.update_or_create(lesson=lesson, position=number, defaults=question)
