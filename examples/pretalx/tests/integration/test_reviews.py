"""Who may review what, and who sees the reviews of others."""

from django_scopes import scope
from pretalx.event.models import Team
from pretalx.submission.models import Review, Submission

from integration.world import ConferenceTestCase, person


class ReviewTests(ConferenceTestCase):
    @classmethod
    def make_world(cls) -> None:
        super().make_world()
        cls.second_reviewer = person("Ruth")
        cls.reviewers.members.add(cls.second_reviewer)

    def path(self, submission: Submission) -> str:
        return f"/orga/event/first/submissions/{submission.code}/reviews/"

    def review(self, submission: Submission, text: str = "Sound work.") -> Review:
        with scope(event=self.event):
            return Review.objects.create(submission=submission, user=self.second_reviewer, text=text)

    def set_phase(self, **more: object) -> None:
        with scope(event=self.event):
            self.event.review_phases.filter(pk=self.phase.pk).update(**more)

    def test_a_reviewer_reviews_and_the_score_counts(self) -> None:
        with scope(event=self.event):
            category = self.event.score_categories.get()
            best = category.scores.order_by("-value").first()
        fields = {"text": "Sound work.", f"score_{category.pk}": str(best.pk)}
        answer = self.browser(self.reviewer).post(self.path(self.idea), fields)
        self.assertEqual(answer.status_code, 302)
        with scope(event=self.event):
            review = Review.objects.get(submission=self.idea)
        self.assertEqual((review.user, review.text, int(review.score)), (self.reviewer, "Sound work.", 2))

    def test_nobody_reviews_their_own_proposal(self) -> None:
        with scope(event=self.event):
            self.idea.speakers.add(self.reviewer)
        client = self.browser(self.reviewer)
        self.assertNotContains(client.get("/orga/event/first/reviews/"), "Tunnels that leak")
        client.post(self.path(self.idea), {"text": "Splendid."})
        with scope(event=self.event):
            self.assertFalse(Review.objects.exists())

    def test_when_the_phase_is_over_no_review_is_taken(self) -> None:
        with scope(event=self.event):
            self.selection.activate()
        self.browser(self.reviewer).post(self.path(self.idea), {"text": "Too late."})
        with scope(event=self.event):
            self.assertFalse(Review.objects.exists())

    def test_reviews_of_others_are_seen_after_the_own_one(self) -> None:
        self.review(self.idea, "Leaks a little.")
        client = self.browser(self.reviewer)
        self.assertNotContains(client.get(self.path(self.idea)), "Leaks a little.")
        client.post(self.path(self.idea), {"text": "Sound work."})
        self.assertContains(client.get(self.path(self.idea)), "Leaks a little.")

    def test_an_anonymous_phase_hides_who_speaks(self) -> None:
        page = self.browser(self.reviewer).get(self.path(self.idea))
        self.assertContains(page, "Paula")
        self.set_phase(can_see_speaker_names=False)
        page = self.browser(self.reviewer).get(self.path(self.idea))
        self.assertContains(page, "Tunnels that leak")
        self.assertNotContains(page, "Paula")

    def test_where_proposals_are_assigned_only_these_are_open(self) -> None:
        self.set_phase(proposal_visibility="assigned")
        client = self.browser(self.reviewer)
        self.assert_refused(client.get(self.path(self.idea)))
        with scope(event=self.event):
            self.idea.assigned_reviewers.add(self.reviewer)
        self.assertContains(client.get(self.path(self.idea)), "Tunnels that leak")

    def test_a_team_for_one_track_reviews_no_other(self) -> None:
        with scope(event=self.event):
            ours, theirs = (self.event.tracks.create(event=self.event, name=name) for name in ("Ours", "Theirs"))
            Submission.objects.filter(pk=self.idea.pk).update(track=theirs)
            Team.objects.get(pk=self.reviewers.pk).limit_tracks.add(ours)
        self.assert_refused(self.browser(self.reviewer).get(self.path(self.idea)))
        with scope(event=self.event):
            Submission.objects.filter(pk=self.idea.pk).update(track=ours)
        self.assertContains(self.browser(self.reviewer).get(self.path(self.idea)), "Tunnels that leak")

    def test_a_reviewer_accepts_nothing_unless_the_phase_allows_it(self) -> None:
        path = f"/orga/event/first/submissions/{self.idea.code}/accept"
        self.browser(self.reviewer).post(path)
        with scope(event=self.event):
            self.idea.refresh_from_db()
            self.assertEqual(self.idea.state, "submitted")
        self.set_phase(can_change_submission_state=True)
        self.browser(self.reviewer).post(path)
        with scope(event=self.event):
            self.idea.refresh_from_db()
        self.assertEqual(self.idea.state, "accepted")
