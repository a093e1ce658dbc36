"""Which votes count. Votes are never deleted when something changes: they are computed anew at each reading."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Model

from releases import queries
from releases.domain.items import ItemStatus
from releases.domain.wording import moment
from releases.enums import Choice, EvidenceSource
from releases.models import Release, Vote


class Counting(StrEnum):
    """Whether a station's vote counts, and if not, why not."""

    COUNTED = "counted"
    STALE = "stale"
    EXPIRED = "expired"
    BARRED = "barred"
    NONE = "none"


@dataclass(frozen=True)
class StationVote:
    """One station of the poll: its vote (the counting one, else the newest) and what it is worth."""

    key: str
    title: str
    counting: Counting
    vote: Vote | None
    text: str

    @property
    def in_favour(self) -> bool:
        return (
            self.counting == Counting.COUNTED
            and self.vote is not None
            and self.vote.choice in (Choice.GO, Choice.CONCERN)
        )

    @property
    def against(self) -> bool:
        return self.counting == Counting.COUNTED and self.vote is not None and self.vote.choice == Choice.NO_GO


@dataclass(frozen=True)
class PollFacts:
    """Votes that were not withdrawn, and who speaks for which station now; two queries for any number of releases."""

    votes: Mapping[UUID, list[Vote]]
    speakers: Mapping[int, set[tuple[int, str]]]

    def people(self) -> Iterable[tuple[Model, str]]:
        """Where somebody is named; ``releases.queries.name_people`` loads them."""
        for cast in self.votes.values():
            yield from ((each, "voter") for each in cast)


def load_poll(releases: Sequence[Release]) -> PollFacts:
    """Read votes and who may vote; people are not loaded yet."""
    votes: dict[UUID, list[Vote]] = defaultdict(list)
    for vote in queries.votes(releases):
        votes[vote.release_id].append(vote)
    speakers: dict[int, set[tuple[int, str]]] = defaultdict(set)
    for application, user, station in queries.speakers(releases):
        speakers[application].add((user, station))
    return PollFacts(votes, speakers)


def stations_of_plan(release: Release) -> list[dict[str, Any]]:
    """The stations that must vote: [{"key", "title"}...]."""
    return list(release.plan_version.document["approvals"]["stations"])


def signers(items: Sequence[ItemStatus]) -> dict[int, str]:
    """Who signed off an item that counts now, uploaded its report, or walked a case of it: user id -> its title.

    These people may not vote.
    """
    found: dict[int, str] = {}
    for status in items:
        evidence = status.evidence
        if not status.proven or evidence is None:
            continue
        if evidence.source in (EvidenceSource.SIGN_OFF, EvidenceSource.RUN) and evidence.author_id is not None:
            found[evidence.author_id] = status.item.title
        if evidence.source == EvidenceSource.SIGN_OFF and evidence.kind == "acceptance":
            found |= dict.fromkeys(evidence.figures.get("tester_ids", []), status.item.title)
    return found


def compute_poll(
    release: Release, facts: PollFacts, items: Sequence[ItemStatus], digest: str, at: datetime
) -> list[StationVote]:
    """Each station with its vote, judged against the digest of what stands now."""
    votes = facts.votes.get(release.pk, [])
    speakers = facts.speakers.get(release.application_id, set())
    authors = signers(items)
    counted: set[int] = set()
    poll = []
    for station in stations_of_plan(release):
        key, title = station["key"], station["title"]
        mine = [vote for vote in votes if vote.station == key]
        current = next((vote for vote in mine if vote.manifest_id == digest), None)
        if current is not None:
            worth, text = _worth(release, current, speakers, authors, counted, at)
            if worth == Counting.COUNTED:
                counted.add(current.voter_id)
            poll.append(StationVote(key, title, worth, current, text))
        elif mine:
            text = f"{title}: the vote of {mine[0].voter} does not count: the evidence changed since it was given."
            poll.append(StationVote(key, title, Counting.STALE, mine[0], text))
        else:
            poll.append(StationVote(key, title, Counting.NONE, None, f"{title} has not voted."))
    return poll


def _worth(
    release: Release,
    vote: Vote,
    speakers: set[tuple[int, str]],
    authors: Mapping[int, str],
    counted: set[int],
    at: datetime,
) -> tuple[Counting, str]:
    who = f"The vote of {vote.voter} for {vote.station} does not count"
    if vote.expires_at <= at:
        return Counting.EXPIRED, f"{who}: it expired {moment(vote.expires_at)}."
    if (vote.voter_id, vote.station) not in speakers:
        return Counting.BARRED, f"{who}: they no longer speak for this station."
    if vote.voter_id == release.requester_id:
        return Counting.BARRED, f"{who}: they requested this release."
    if vote.voter_id in authors:
        return Counting.BARRED, f"{who}: they signed “{authors[vote.voter_id]}” themselves."
    if vote.voter_id in counted:
        return Counting.BARRED, f"{who}: each station needs a person of its own."
    return Counting.COUNTED, f"{vote.voter} voted {Choice(vote.choice).label.lower()}."
