"""What there is to learn, and how far each person has come."""

from django.conf import settings
from django.db import models
from django.urls import reverse


class Course(models.Model):
    class Level(models.TextChoices):
        BEGINNER = "beginner", "Beginner"
        INTERMEDIATE = "intermediate", "Intermediate"
        ADVANCED = "advanced", "Advanced"

    slug = models.SlugField(unique=True)
    title = models.CharField(max_length=120)
    summary = models.TextField()
    byline = models.CharField(max_length=200, help_text="The authors' names, with commas between them.")
    level = models.CharField(max_length=20, choices=Level)
    position = models.PositiveSmallIntegerField(default=0)
    published_at = models.DateTimeField()

    class Meta:
        ordering = ["position", "title"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("course_detail", args=[self.slug])


class Lesson(models.Model):
    course = models.ForeignKey(Course, on_delete=models.CASCADE, related_name="lessons")
    position = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=120)
    body = models.TextField()
    minutes = models.PositiveSmallIntegerField(help_text="How long reading it takes.")

    class Meta:
        ordering = ["course", "position"]
        constraints = [models.UniqueConstraint(fields=["course", "position"], name="lesson_position_unique")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("lesson_detail", args=[self.course.slug, self.position])


class Question(models.Model):
    """One question at the end of a lesson; `answer` is the index of the right one of its options."""

    lesson = models.ForeignKey(Lesson, on_delete=models.CASCADE, related_name="questions")
    position = models.PositiveSmallIntegerField()
    text = models.CharField(max_length=300)
    options = models.JSONField()
    answer = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["lesson", "position"]
        constraints = [models.UniqueConstraint(fields=["lesson", "position"], name="question_position_unique")]

    def __str__(self) -> str:
        return self.text


class Progress(models.Model):
    """One person in one lesson."""

    class State(models.TextChoices):
        STARTED = "started", "Started"
        DONE = "done", "Done"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="progress")
    lesson = models.ForeignKey(Lesson, on_delete=models.CASCADE, related_name="progress")
    state = models.CharField(max_length=10, choices=State, default=State.STARTED)
    right_answers = models.PositiveSmallIntegerField(default=0)
    started_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "progress"
        constraints = [models.UniqueConstraint(fields=["user", "lesson"], name="progress_once_for_each_lesson")]

    def __str__(self) -> str:
        return f"{self.user}: {self.lesson} ({self.state})"

    @property
    def is_done(self) -> bool:
        return self.state == self.State.DONE
