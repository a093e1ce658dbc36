"""How seeded preferences and progress are written down in this version."""

import random
from datetime import datetime, timedelta

from thinkincoin.accounts.models import Preferences, User
from thinkincoin.courses.models import Lesson, Progress


def preferences_row(chance: random.Random, user: User) -> Preferences:
    return Preferences(
        user=user,
        theme=chance.choice(Preferences.Theme.values),
        language=chance.choice(Preferences.Language.values),
        news=chance.random() < 0.4,
    )


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
