"""A conference of its own for each class of tests: who takes part, what was submitted, and what is on the schedule."""

import datetime as dt
from functools import cache
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.http import HttpResponse
from django.test import Client, TestCase
from django.test.client import ClientHandler
from django.utils.timezone import now
from django_scopes import scope, scopes_disabled
from pretalx.event.models import Event, Organiser, Team
from pretalx.person.models import SpeakerProfile, User
from pretalx.schedule.models import Room
from pretalx.submission.models import Submission

PASSWORD = "correct-horse-battery-9"
#: All the middleware of pretalx, loaded once: a new one looks at each of 1,500 static files, for a third of a second.
HANDLER = ClientHandler(enforce_csrf_checks=False)


@cache
def hashed() -> str:
    """Made once: the hash of a password is meant to take its time."""
    return make_password(PASSWORD)


def person(name: str) -> User:
    user = User.objects.create_user(email=f"{name.lower()}@conference.test", name=name)
    user.password = hashed()
    user.save()
    return user


def conference(slug: str, organiser: Organiser, **more: object) -> Event:
    """In three weeks, for two days, with a call for papers that is open."""
    day = (now() + dt.timedelta(days=21)).date()
    event = Event.objects.create(
        name=f"Conference {slug}", slug=slug, organiser=organiser, is_public=True, date_from=day,
        date_to=day + dt.timedelta(days=1), timezone="Europe/Berlin", email=f"{slug}@conference.test",
        locale="en", locale_array="en", **more,
    )  # fmt: skip
    with scope(event=event):
        event.build_initial_data()
        event.cfp.deadline = now() + dt.timedelta(days=2)
        event.cfp.save()
    return event


def proposal(event: Event, title: str, speaker: User) -> Submission:
    submission = Submission.objects.create(
        event=event, title=title, abstract=f"About {title}.", submission_type=event.cfp.default_type,
        content_locale="en",
    )  # fmt: skip
    submission.speakers.add(speaker)
    SpeakerProfile.objects.get_or_create(event=event, user=speaker, defaults={"biography": f"{speaker.name} speaks."})
    return submission


class ConferenceTestCase(TestCase):
    """`talk` is confirmed and published, `idea` is submitted only, `draft` stands on the unpublished schedule."""

    event: ClassVar[Event]
    other_event: ClassVar[Event]

    @classmethod
    def setUpTestData(cls) -> None:
        with scopes_disabled():
            cls.make_world()

    @classmethod
    def make_world(cls) -> None:
        cls.organiser, cls.reviewer, cls.speaker, cls.proposer, cls.visitor, cls.stranger = map(
            person, ("Olga", "Rita", "Sven", "Paula", "Vera", "Xaver")
        )
        host = Organiser.objects.create(name="Host", slug="host")
        elsewhere = Organiser.objects.create(name="Elsewhere", slug="elsewhere")
        cls.event, cls.other_event = conference("first", host), conference("second", elsewhere)
        rights = {"can_change_submissions": True, "can_change_event_settings": True, "all_events": True}
        Team.objects.create(organiser=host, name="Organisers", **rights).members.add(cls.organiser)
        Team.objects.create(organiser=elsewhere, name="Others", **rights).members.add(cls.stranger)
        cls.reviewers = Team.objects.create(organiser=host, name="Reviewers", is_reviewer=True, all_events=True)
        cls.reviewers.members.add(cls.reviewer)
        with scope(event=cls.event):
            cls.make_programme(cls.event)

    @classmethod
    def make_programme(cls, event: Event) -> None:
        cls.phase, cls.selection = event.review_phases.order_by("position")
        event.review_phases.update(is_active=False)
        event.review_phases.filter(pk=cls.phase.pk).update(is_active=True)
        cls.room = Room.objects.create(event=event, name="Great Hall", position=1)
        cls.talk = proposal(event, "Bridges that hold", cls.speaker)
        cls.idea = proposal(event, "Tunnels that leak", cls.proposer)
        cls.begins = event.datetime_from + dt.timedelta(hours=10)
        cls.talk.accept()
        cls.talk.confirm()
        cls.place(cls.talk, cls.begins)
        event.wip_schedule.freeze("1.0", notify_speakers=False)
        cls.draft = proposal(event, "Roofs that fly", cls.speaker)
        cls.draft.accept()
        cls.draft.confirm()
        cls.place(cls.draft, cls.begins + dt.timedelta(hours=2))

    @classmethod
    def place(cls, talk: Submission, begins: dt.datetime) -> None:
        slot = talk.slots.get(schedule__version=None)
        slot.start, slot.end, slot.room = begins, begins + dt.timedelta(minutes=30), cls.room
        slot.save()

    def setUp(self) -> None:
        # As a browser asks it: at the address of the site, for a page of HTML.
        self.client = self.browser()

    def browser(self, user: User | None = None, host: str = settings.SITE_NETLOC) -> Client:
        client = Client(headers={"host": host, "accept": "text/html,*/*"})
        client.handler = HANDLER
        if user is not None:
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    def fresh_event(self) -> Event:
        """Without what this object has remembered of it."""
        return Event.objects.get(pk=self.event.pk)

    def assert_refused(self, answer: HttpResponse) -> None:
        """pretalx hides what is not for somebody, or asks who it is."""
        asks = answer.status_code == 302 and "/login/" in answer["Location"]
        self.assertTrue(asks or answer.status_code in (403, 404), f"{answer.status_code} was answered")
