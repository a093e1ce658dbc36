"""Addresses of runs."""

from django.urls import path

from checks import (
    advisory_views,
    backup_views,
    finding_views,
    log_views,
    plan_views,
    schedule_views,
    starting_views,
    views,
)

app_name = "checks"

urlpatterns = [
    path("", views.run_list, name="run_list"),
    path("<int:number>/", views.run_detail, name="run_detail"),
    path("<int:number>/cancel", views.cancel, name="cancel"),
    path("<int:number>/retry", starting_views.retry, name="retry"),
    path("<int:number>/decide", views.decide, name="decide"),
    path("<int:number>/log/stream", log_views.stream, name="log_stream"),
    path("<int:number>/log/lines", log_views.lines, name="log_lines"),
    path("<int:number>/log/raw", log_views.raw, name="log_raw"),
    path("<int:number>/artifacts/<path:name>", views.artifact, name="artifact"),
    path("id/<uuid:run_id>/", views.run_by_id, name="run_by_id"),
    path("backups/<slug:slug>/<slug:name>/", backup_views.backup_list, name="backups"),
    path("backups/<slug:slug>/<slug:name>/start", backup_views.start, name="backup_start"),
    path("backups/<slug:slug>/<slug:name>/<int:backup_id>/", backup_views.backup_detail, name="backup"),
    path("schedules/<slug:slug>/", schedule_views.schedule_list, name="schedules"),
    path("schedules/<slug:slug>/new/", schedule_views.new, name="schedule_new"),
    path("schedules/<int:schedule_id>/change/", schedule_views.change, name="schedule_change"),
    path("schedules/<int:schedule_id>/pause/", schedule_views.pause, name="schedule_pause"),
    path("schedules/<int:schedule_id>/resume", schedule_views.resume, name="schedule_resume"),
    path("schedules/<int:schedule_id>/remove", schedule_views.remove, name="schedule_remove"),
    path("schedules/<int:schedule_id>/start", schedule_views.start, name="schedule_start"),
    path("advisories/", advisory_views.advisory_page, name="advisories"),
    path("findings/<slug:slug>/", finding_views.finding_list, name="findings"),
    path("findings/<slug:slug>/<int:finding_id>/", finding_views.finding_detail, name="finding"),
    path("findings/<slug:slug>/<int:finding_id>/accept/", finding_views.accept, name="finding_accept"),
    path("findings/acceptance/<int:acceptance_id>/approve", finding_views.approve, name="acceptance_approve"),
    path("findings/acceptance/<int:acceptance_id>/withdraw", finding_views.withdraw, name="acceptance_withdraw"),
    path("<int:number>/findings/", finding_views.run_findings, name="run_findings"),
    path("<int:number>/findings.sarif", finding_views.run_sarif, name="run_sarif"),
    path("plans/<slug:slug>/new", plan_views.new, name="plan_new"),
    path("release/<uuid:release_id>/panel", views.release_panel, name="release_panel"),
    path("release/<uuid:release_id>/start", starting_views.start_menu, name="start_menu"),
    path("release/<uuid:release_id>/start/<path:section>", starting_views.launch, name="launch"),
    path("release/<uuid:release_id>/start-planned/<path:section>", starting_views.start_planned, name="start_planned"),
    path("release/<uuid:release_id>/start-blocking", starting_views.start_blocking, name="start_blocking"),
    path("release/<uuid:release_id>/deploy", views.deploy, name="deploy"),
    path("release/<uuid:release_id>/refresh", views.refresh, name="refresh"),
    path("release/<uuid:release_id>/rollback", views.rollback, name="rollback"),
]
