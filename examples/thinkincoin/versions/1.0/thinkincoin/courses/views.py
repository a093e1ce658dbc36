from django.contrib.auth.decorators import login_required
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from thinkincoin.accounts.models import User
from thinkincoin.courses.models import Course, Lesson, Progress
from thinkincoin.courses.progress import begin, finish, overview


def published_courses() -> QuerySet[Course]:
    courses = Course.objects.filter(published_at__lte=timezone.now())
    return courses.annotate(lesson_count=Count("lessons"), minutes=Sum("lessons__minutes"))


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    figures = {"learners": User.objects.filter(is_active=True).count(), "lessons": Lesson.objects.count()}
    return render(request, "courses/home.html", {"courses": published_courses()[:3], **figures})


@require_safe
def course_list(request: HttpRequest) -> HttpResponse:
    return render(request, "courses/course_list.html", {"courses": published_courses()})


@require_safe
def course_detail(request: HttpRequest, slug: str) -> HttpResponse:
    course = get_object_or_404(published_courses(), slug=slug)
    lessons = list(course.lessons.all())
    mine = {}
    if request.user.is_authenticated:
        mine = {row.lesson_id: row for row in Progress.objects.filter(user=request.user, lesson__in=lessons)}
    rows = [(lesson, mine.get(lesson.pk)) for lesson in lessons]
    return render(request, "courses/course_detail.html", {"course": course, "rows": rows})


@login_required
def lesson_detail(request: HttpRequest, slug: str, position: int) -> HttpResponse:
    """Show a lesson with its questions; a POST answers them and finishes the lesson."""
    lessons = Lesson.objects.select_related("course").prefetch_related("questions")
    lesson = get_object_or_404(lessons, course__in=published_courses(), course__slug=slug, position=position)
    if request.method == "POST":
        progress = finish(user=request.user, lesson=lesson, answers=read_answers(request, lesson))
        return render(request, "courses/lesson_done.html", {"lesson": lesson, "progress": progress, **around(lesson)})
    progress = begin(user=request.user, lesson=lesson)
    return render(request, "courses/lesson_detail.html", {"lesson": lesson, "progress": progress, **around(lesson)})


def read_answers(request: HttpRequest, lesson: Lesson) -> dict[int, int]:
    """Return the chosen option by question; what was left out or is no number is left out."""
    given = {question.pk: request.POST.get(f"question-{question.pk}", "") for question in lesson.questions.all()}
    return {key: int(value) for key, value in given.items() if value.isdecimal()}


def around(lesson: Lesson) -> dict[str, Lesson | None]:
    siblings = Lesson.objects.filter(course=lesson.course).select_related("course")
    return {
        "before": siblings.filter(position__lt=lesson.position).order_by("-position").first(),
        "after": siblings.filter(position__gt=lesson.position).order_by("position").first(),
    }


@login_required
@require_safe
def my_progress(request: HttpRequest) -> HttpResponse:
    begun = [course for course in overview(user=request.user) if any(progress for _, progress in course.rows)]
    return render(request, "courses/my_progress.html", {"begun": begun})
