"""How seeded progress is written down in this version."""

from datetime import datetime, timedelta

from thinkincoin.accounts.models import User
from thinkincoin.courses.models import Lesson, Progress


def progress_row(user: User, lesson: Lesson, at: datetime, right_answers: int, *, done: bool) -> Progress:
    """Return unsaved progress of a person who opened the lesson at `at`."""
    return Progress(
        user=user,
        lesson=lesson,
        state=Progress.State.DONE if done else Progress.State.STARTED,
        right_answers=right_answers if done else 0,
        started_at=at,
        updated_at=at + timedelta(minutes=lesson.minutes),
    )


def progress_rows_saved(rows: list[Progress]) -> None:
    Progress.objects.bulk_create(rows, batch_size=1000)
