from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from thinkincoin.accounts.forms import LogInForm
from thinkincoin.accounts.views import preferences, sign_up
from thinkincoin.courses.views import course_detail, course_list, home, lesson_detail, my_progress
from thinkincoin.health import healthz

urlpatterns = [
    path("", home, name="home"),
    path("courses/", course_list, name="course_list"),
    path("courses/<slug:slug>/", course_detail, name="course_detail"),
    path("courses/<slug:slug>/<int:position>/", lesson_detail, name="lesson_detail"),
    path("progress/", my_progress, name="my_progress"),
    path(
        "account/log-in/",
        LoginView.as_view(template_name="accounts/log_in.html", authentication_form=LogInForm),
        name="log_in",
    ),
    path("account/log-out/", LogoutView.as_view(), name="log_out"),
    path("account/sign-up/", sign_up, name="sign_up"),
    path("account/preferences/", preferences, name="preferences"),
    path("healthz", healthz, name="healthz"),
]
