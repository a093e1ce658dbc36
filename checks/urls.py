"""Addresses of runs."""

from django.urls import path

from checks import log_views, plan_views, views

app_name = "checks"

urlpatterns = [
    path("", views.run_list, name="run_list"),
    path("<int:number>/", views.run_detail, name="run_detail"),
    path("<int:number>/cancel", views.cancel, name="cancel"),
    path("<int:number>/retry", views.retry, name="retry"),
    path("<int:number>/decide", views.decide, name="decide"),
    path("<int:number>/log/stream", log_views.stream, name="log_stream"),
    path("<int:number>/log/lines", log_views.lines, name="log_lines"),
    path("<int:number>/log/raw", log_views.raw, name="log_raw"),
    path("<int:number>/artifacts/<path:name>", views.artifact, name="artifact"),
    path("id/<uuid:run_id>/", views.run_by_id, name="run_by_id"),
    path("plans/<slug:slug>/new", plan_views.new, name="plan_new"),
    path("release/<uuid:release_id>/panel", views.release_panel, name="release_panel"),
    path("release/<uuid:release_id>/start", views.start_menu, name="start_menu"),
    path("release/<uuid:release_id>/start/<path:section>", views.launch, name="launch"),
    path("release/<uuid:release_id>/start-blocking", views.start_blocking, name="start_blocking"),
    path("release/<uuid:release_id>/deploy", views.deploy, name="deploy"),
    path("release/<uuid:release_id>/rollback", views.rollback, name="rollback"),
]
