import os
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from thinkincoin.accounts.models import Preferences, User
from thinkincoin.courses.catalogue import load_catalogue
from thinkincoin.courses.models import Lesson, Progress
from thinkincoin.courses.seeding import preferences_row, progress_row

FIRST_NAMES = (
    "Ada Ben Chiara Deniz Elif Farid Greta Hugo Ines Jakub Kemi Lena Milan Noor Olga Paulo Rania Sven Tara Umar"
)
LAST_NAMES = (
    "Almeida Berg Castro Dvorak Eriksen Fontaine Gupta Haddad Ito Jansen Kowalski Lopez Mbeki Novak Osei Petrov"
)
FIRST_DAY = datetime(2025, 10, 1, 6, 0, tzinfo=UTC)


class Command(BaseCommand):
    help = "Make the courses and learners with progress and preferences; the same numbers give the same data."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--users", type=int, default=200, help="how many learners there shall be")
        parser.add_argument("--number", type=int, default=7, help="another number gives other people")
        parser.add_argument("--domain", default="learners.example", help="the end of their e-mail addresses")
        parser.add_argument("--learner", help="the address of one more, who logs in with the variable SEED_PASSWORD")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        load_catalogue()
        lessons = list(Lesson.objects.select_related("course").prefetch_related("questions"))
        chance = random.Random(options["number"])
        people = [self.person(chance, number, options["domain"]) for number in range(1, options["users"] + 1)]
        if options["learner"]:
            people.append(self.guide(options["learner"]))
        existing = set(User.objects.values_list("email", flat=True))
        made = User.objects.bulk_create([user for user in people if user.email not in existing])
        Preferences.objects.bulk_create([preferences_row(chance, user) for user in made if chance.random() < 0.7])
        rows = [row for user in made for row in self.progress(chance, user, lessons)]
        Progress.objects.bulk_create(rows, batch_size=1000)
        self.stdout.write(
            f"{len(made)} learners made, {len(people) - len(made)} were there; {len(rows)} lessons begun."
        )

    def guide(self, email: str) -> User:
        """One learner who can log in, with a password from the environment, so that no list of processes shows it."""
        password = os.environ.get("SEED_PASSWORD")
        if not password:
            raise CommandError("--learner needs a password in the variable SEED_PASSWORD. Nobody was made.")
        return User(email=email, display_name="Robin Example", password=make_password(password), joined_at=FIRST_DAY)

    def person(self, chance: random.Random, number: int, domain: str) -> User:
        """A learner who cannot log in: these are there to be counted and kept."""
        first, last = chance.choice(FIRST_NAMES.split()), chance.choice(LAST_NAMES.split())
        return User(
            email=f"{first}.{last}.{number}@{domain}".lower(),
            display_name=f"{first} {last}",
            password=make_password(None),
            joined_at=FIRST_DAY + timedelta(minutes=chance.randrange(200 * 24 * 60)),
        )

    def progress(self, chance: random.Random, user: User, lessons: list[Lesson]) -> list[Progress]:
        """Some lessons from the first on, most of them done, a day or so apart."""
        rows = []
        at = user.joined_at
        for lesson in lessons[: chance.randrange(len(lessons) + 1)]:
            at += timedelta(minutes=chance.randrange(20, 3 * 24 * 60))
            right = chance.randrange(len(lesson.questions.all()) + 1)
            rows.append(progress_row(user, lesson, at, right, done=chance.random() < 0.85))
        return rows
