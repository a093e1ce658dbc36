"""What there is to learn, and how far each person has come."""

from django.conf import settings
from django.db import models
from django.urls import reverse


class Author(models.Model):
    name = models.CharField(max_length=80, unique=True)
    about = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Course(models.Model):
    class Level(models.TextChoices):
        BEGINNER = "beginner", "Beginner"
        INTERMEDIATE = "intermediate", "Intermediate"
        ADVANCED = "advanced", "Advanced"

    slug = models.SlugField(unique=True)
    title = models.CharField(max_length=120)
    summary = models.TextField()
    authors = models.ManyToManyField(Author, through="Authorship", related_name="courses")
    level = models.CharField(max_length=20, choices=Level)
    position = models.PositiveSmallIntegerField(default=0)
    published_at = models.DateTimeField()

    class Meta:
        ordering = ["position", "title"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("course_detail", args=[self.slug])

    @property
    def byline(self) -> str:
        """The authors' names in their order, with commas between them."""
        names = self.authorships.order_by("position").values_list("author__name", flat=True)
        return ", ".join(names)


class Authorship(models.Model):
    """One author of one course, at a place in its byline."""

    course = models.ForeignKey(Course, on_delete=models.CASCADE, related_name="authorships")
    author = models.ForeignKey(Author, on_delete=models.PROTECT, related_name="authorships")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["course", "position"]
        constraints = [
            models.UniqueConstraint(fields=["course", "author"], name="author_once_for_each_course"),
            models.UniqueConstraint(fields=["course", "position"], name="author_position_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.author}: {self.course}"


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
    """One person in one lesson; done when it has `completed_at` and, in per cent, `score`."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="progress")
    lesson = models.ForeignKey(Lesson, on_delete=models.CASCADE, related_name="progress")
    right_answers = models.PositiveSmallIntegerField(default=0)
    started_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True, db_index=True)
    score = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "progress"
        constraints = [
            models.UniqueConstraint(fields=["user", "lesson"], name="progress_once_for_each_lesson"),
            models.CheckConstraint(condition=models.Q(score__lte=100), name="score_is_per_cent"),
            models.CheckConstraint(
                condition=models.Q(completed_at__isnull=True, score__isnull=True)
                | models.Q(completed_at__isnull=False, score__isnull=False),
                name="score_when_completed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.lesson}"

    @property
    def is_done(self) -> bool:
        return self.completed_at is not None
