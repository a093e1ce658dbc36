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
    def score(self) -> int | None:
        """The mean score of the lessons that are done, in per cent."""
        scores = [row.score for _, row in self.rows if row is not None and row.score is not None]
        return round(sum(scores) / len(scores)) if scores else None

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
    """Complete the lesson with the answers given (question id to option); the best result and the first time stay."""
    begin(user=user, lesson=lesson)
    progress = Progress.objects.select_for_update().get(user=user, lesson=lesson)
    questions = list(lesson.questions.all())
    right = sum(1 for question in questions if answers.get(question.pk) == question.answer)
    progress.right_answers = max(right, progress.right_answers)
    progress.score = score_of(progress.right_answers, len(questions))
    progress.updated_at = at or timezone.now()
    progress.completed_at = progress.completed_at or progress.updated_at
    progress.save()
    return progress


def score_of(right_answers: int, questions: int) -> int:
    """Return the per cent of right answers; a lesson that asks nothing is complete with all of them."""
    return round(100 * right_answers / questions) if questions else 100


def overview(*, user: User) -> list[CourseProgress]:
    """Return every published course with the person's progress, in three queries."""
    mine = {progress.lesson_id: progress for progress in Progress.objects.filter(user=user)}
    courses = Course.objects.filter(published_at__lte=timezone.now()).prefetch_related("lessons__questions")
    return [
        CourseProgress(course, [(lesson, mine.get(lesson.pk)) for lesson in course.lessons.all()]) for course in courses
    ]
