"""How seeded preferences and progress are written down in this version."""

import random
from datetime import datetime, timedelta

from thinkincoin.accounts.models import Preferences, User
from thinkincoin.courses.models import Lesson, Progress
from thinkincoin.courses.progress import score_of


def preferences_row(chance: random.Random, user: User) -> Preferences:
    return Preferences(
        user=user,
        theme=chance.choice(Preferences.Theme.values),
        language=chance.choice(Preferences.Language.values),
        digest=chance.choice(Preferences.Digest.values),
    )


def progress_row(user: User, lesson: Lesson, at: datetime, right_answers: int, *, done: bool) -> Progress:
    """Return unsaved progress of a person who opened the lesson at `at`."""
    read_at = at + timedelta(minutes=lesson.minutes)
    row = Progress(user=user, lesson=lesson, started_at=at, updated_at=read_at)
    if done:
        row.right_answers, row.completed_at = right_answers, read_at
        row.score = score_of(right_answers, len(lesson.questions.all()))
    return row
