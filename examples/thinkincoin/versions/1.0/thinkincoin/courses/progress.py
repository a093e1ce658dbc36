"""How a person goes through lessons."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from thinkincoin.accounts.models import User
from thinkincoin.courses.models import Course, Lesson, Progress


@dataclass(frozen=True)
class CourseProgress:
    """One course as one person sees it; `rows` pairs each lesson with the person's progress in it, or None."""

    course: Course
    rows: list[tuple[Lesson, Progress | None]]

    @property
    def done(self) -> int:
        return sum(1 for _, progress in self.rows if progress is not None and progress.is_done)

    @property
    def total(self) -> int:
        return len(self.rows)

    @property
    def percent(self) -> int:
        return round(100 * self.done / self.total) if self.total else 0

    @property
    def next_lesson(self) -> Lesson | None:
        return next((lesson for lesson, progress in self.rows if progress is None or not progress.is_done), None)


def begin(*, user: User, lesson: Lesson) -> Progress:
    """Remember that the person has opened the lesson; a second time changes nothing."""
    now = timezone.now()
    progress, _ = Progress.objects.get_or_create(
        user=user, lesson=lesson, defaults={"started_at": now, "updated_at": now}
    )
    return progress


@transaction.atomic
def finish(*, user: User, lesson: Lesson, answers: Mapping[int, int], at: datetime | None = None) -> Progress:
    """Mark the lesson as done with the answers given (question id to option); the best result is kept."""
    begin(user=user, lesson=lesson)
    progress = Progress.objects.select_for_update().get(user=user, lesson=lesson)
    right = sum(1 for question in lesson.questions.all() if answers.get(question.pk) == question.answer)
    progress.right_answers = max(right, progress.right_answers)
    progress.state = Progress.State.DONE
    progress.updated_at = at or timezone.now()
    progress.save()
    return progress


def overview(*, user: User) -> list[CourseProgress]:
    """Return every published course with the person's progress, in three queries."""
    mine = {progress.lesson_id: progress for progress in Progress.objects.filter(user=user)}
    courses = Course.objects.filter(published_at__lte=timezone.now()).prefetch_related("lessons__questions")
    return [
        CourseProgress(course, [(lesson, mine.get(lesson.pk)) for lesson in course.lessons.all()]) for course in courses
    ]
