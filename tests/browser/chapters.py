"""The chapters of the journey, in order: who clicks what, and what must be seen then."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, expect

from config.services.home import BASE_DIR
from tests.browser.journey import RUN_MS, Journey

RUN_BLOCKING = re.compile("Run (again )?what blocks")
#: The titles of the plan's checks.
CHECKS = (
    "ThinkInCoin's own tests",
    "Staging answers",
    "Backup of production",
    "Restore of production's backup",
    "Migration on a clone of production",
    "Testers move from staging to production",
)


def _expect_state(page: Page, state: str, timeout: float = RUN_MS) -> None:
    expect(page.locator("#board h1 .pill").first).to_have_text(re.compile(rf"^\W*{state}\W*$"), timeout=timeout)


def settled(journey: Journey) -> None:
    """The administrator publishes the plan and keeps the secrets; the manager says what runs already."""
    stack = journey.stack
    page = journey.page("administrator")
    page.goto(f"{stack.address}/applications/thinkincoin/")
    page.get_by_role("link", name="New plan version").click()
    page.get_by_label("Plan", exact=True).fill(stack.plan().replace("kind: smoke", "kind: smoak", 1))
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", name="What is wrong")).to_be_visible()
    expect(page.locator("main")).to_contain_text("smoak")
    page.get_by_label("Plan", exact=True).fill(stack.plan())
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Plan v")

    page.goto(f"{stack.address}/applications/thinkincoin/")
    while page.get_by_role("link", name="Set", exact=True).count():
        page.get_by_role("link", name="Set", exact=True).first.click()
        name = page.get_by_label("Name").input_value()
        page.get_by_label("Value").fill(stack.secret(name))
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("ThinkInCoin")

    page = journey.page("manager")
    for environment in ("staging", "production"):
        page.goto(f"{stack.address}/applications/thinkincoin/")
        row = page.get_by_role("row", name=re.compile(f"^{environment} "))
        row.get_by_role("link", name="Say what runs").click()
        page.get_by_label("Version").fill(stack.example.old_version)
        page.get_by_label("Build digest").fill(stack.example.digest(stack.example.old_version))
        page.get_by_label("How you know").fill("Installed before this program.")
        page.get_by_role("button", name="Save").click()
        expect(row).to_contain_text(stack.example.old_version)
    journey.old_learners = stack.learners("production")
    assert journey.old_learners > 0


def rehearsing(journey: Journey) -> None:
    """The manager makes the release and begins the rehearsal; nothing is known, so the gate is closed."""
    page = journey.page("manager")
    page.goto(journey.stack.address)
    page.locator("#main").get_by_role("link", name="New release").first.click()
    page.get_by_label("Application").select_option("ThinkInCoin")
    page.get_by_label("Version").fill(journey.stack.example.new_version)
    page.get_by_label("Rehearsed in").select_option("thinkincoin staging")
    page.get_by_label("Goes live in").select_option("thinkincoin production")
    page.get_by_label("Build").set_input_files(journey.stack.example.build(journey.stack.example.new_version))
    page.get_by_label("Notes").fill("Scores for lessons, and authors of their own.")
    page.get_by_role("button", name="Make the release").click()
    page.wait_for_url("**/releases/*-*/")
    journey.release = page.url
    page.get_by_role("button", name="Begin the rehearsal").click()
    _expect_state(page, "Rehearsing")
    expect(page.locator("#verdict-word")).to_have_text(re.compile("(Hold|No-go)$", re.IGNORECASE))
    assert page.locator(".blockers li").count() > 10
    expect(page.get_by_role("button", name="Deploy to production")).to_be_disabled()


def deployed_to_staging(journey: Journey) -> None:
    """The engineer deploys to staging and watches: lines and steps come without a reload."""
    page = journey.board("engineer")
    _rehearse(page, "Rehearse the deploy", "Deploy to staging now")
    lines = page.get_by_role("log").locator("[id]")
    with journey.no_reload(page):
        expect(lines.nth(3)).to_be_visible(timeout=RUN_MS)
        seen, counts = set(), set()
        while page.locator("#run-head .pill").inner_text().strip() in ("Queued", "Running"):
            seen.update(page.locator("#run-steps [aria-current=step] .name").all_inner_texts())
            counts.add(lines.count())
            page.wait_for_timeout(200)
        journey.wait_for_end(page)
        expect(page.locator("[data-log-sealed]")).to_contain_text("sealed at")
    assert len(seen) > 1, f"the running step never changed: {seen}"
    assert len(counts) > 1, "the log never grew"
    assert journey.stack.running_version("staging") == journey.stack.example.new_version


def rehearsed(journey: Journey) -> None:
    """The way back is rehearsed in staging, and the build put there again."""
    page = journey.board("engineer")
    _rehearse(page, "Rehearse the rollback", "Roll back now")
    journey.wait_for_end(page)
    assert journey.stack.running_version("staging") == journey.stack.example.old_version
    page = journey.board("engineer")
    _rehearse(page, "Rehearse the deploy", "Deploy to staging now")
    journey.wait_for_end(page)


def _rehearse(page: Page, choice: str, button: str) -> None:
    page.locator("#board").get_by_role("link", name="Start a run").click()
    page.get_by_role("link", name=choice).click()
    page.get_by_role("button", name=button).click()
    page.wait_for_url("**/runs/*/")


def checked(journey: Journey) -> None:
    """One button runs every check that blocks. What needed another's result is run again."""
    page = journey.board("engineer")
    for _ in range(3):
        page.get_by_role("button", name=RUN_BLOCKING).click()
        page.wait_for_load_state()
        start_all = page.get_by_role("button", name=re.compile("^Start (it|all)"))
        if start_all.count():
            # The security audit is among them, and leaves something behind.
            expect(page.locator("main")).to_contain_text("wrong passwords are tried on purpose")
            start_all.click()
        expect(page.locator("#messages")).to_contain_text("Started #")
        with journey.no_reload(page):
            runs = page.locator("#release-runs table")
            expect(runs).to_be_visible()
            # What disturbs others goes one after the other: the test of the gate, the audit's scan, the load.
            expect(runs).not_to_contain_text(re.compile("Queued|Running"), timeout=4 * RUN_MS)
        page.reload()
        if not page.get_by_role("button", name=RUN_BLOCKING).count():
            break
    else:
        raise AssertionError(page.locator(".blockers").inner_text())
    for check in CHECKS:
        expect(page.locator("#release-runs").get_by_role("row", name=f"{check} #")).to_contain_text("Passed")


def accepted(journey: Journey) -> None:
    """The engineer walks each acceptance case, led from the board to the first and from each to the next."""
    page = journey.board("engineer")
    page.locator(".blockers").get_by_role("link", name="Users accepted the build").click()
    page.get_by_role("link", name="Cases", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Acceptance cases")
    cases = page.locator("main table tbody tr").count()
    expect(page.locator("main")).to_contain_text(f"0 of {cases} passed")
    page.get_by_role("link", name="Walk the next").click()
    for number in range(1, cases + 1):
        expect(page.locator(".head")).to_contain_text(f"{number} of {cases}")
        page.get_by_role("radio", name="It passed").check()
        page.get_by_label("Note").fill("Seen in staging.")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#messages")).to_contain_text("Kept:")
    expect(page.locator("main")).to_contain_text(f"{cases} of {cases} passed")
    page.goto(journey.release)
    expect(page.locator(".blockers")).not_to_contain_text("Users accepted the build")


def signed(journey: Journey) -> None:
    """The engineer signs what only people can know, each from the board's list of what blocks."""
    page = journey.board("engineer")
    unsigned = page.locator(".blockers li", has_text="Nobody has signed this yet").get_by_role("link")
    for left in range(unsigned.count(), 0, -1):
        expect(unsigned).to_have_count(left)
        title = unsigned.first.inner_text()
        unsigned.first.click()
        page.get_by_role("link", name="Sign", exact=True).click()
        page.get_by_role("radio", name="It holds", exact=True).check()
        if title == "Encryption at rest is attested":
            _attest(page)
        else:
            page.get_by_label("What you looked at").fill(f"Looked at: {title}.")
        page.get_by_role("button", name="Sign", exact=True).click()
        page.wait_for_url(re.compile(r"/(requirements|items)/[^/]+/$|/releases/[0-9a-f-]{36}/$"))
        page.goto(journey.release)
    expect(unsigned).to_have_count(0)


def _attest(page: Page) -> None:
    """Without evidence it is refused, and what was typed is kept; then with a file and an end."""
    page.get_by_label("What you attest").fill("LUKS on all disks of production; keys are held by Operations.")
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.locator("main")).to_contain_text("attach the evidence, or link to it")
    notes = {"name": "disks.txt", "mimeType": "text/plain", "buffer": b"crypt: LUKS2, aes-xts-plain64, 512 bits"}
    page.get_by_label("Attachment").set_input_files(notes)  # type: ignore[arg-type]
    page.get_by_label("It holds until").fill(f"{datetime.now(UTC) + timedelta(days=90):%Y-%m-%dT%H:%M}")


def alerted(journey: Journey) -> None:
    """The manager sends a test alert; the administrator follows the link in the mail and confirms."""
    manager, administrator = journey.board("manager"), journey.page("administrator")
    since = time.time()
    manager.locator("#release-monitoring").get_by_role("button", name="Send a test alert").click()
    expect(manager.locator("#messages")).to_contain_text("on its way")
    with journey.no_reload(manager):
        code = journey.stack.example._receipt(journey.stack.runner.home.root / "mail", since - 1)
        administrator.goto(f"{journey.stack.address}/monitoring/receipts/{code}/")
        administrator.get_by_role("button", name="It reached me").click()
        expect(administrator.locator("#messages")).to_contain_text("kept as evidence")
        expect(manager.locator(".blockers")).not_to_contain_text("receipt of a test alert")


def asked(journey: Journey) -> None:
    """The manager schedules the window and asks for votes. A deploy before the votes is refused."""
    page = journey.board("manager")
    page.locator("#board").get_by_role("link", name="Schedule the window").first.click()
    now = datetime.now(UTC)
    page.get_by_label("Window opens").fill((now - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M"))
    page.get_by_label("Window closes").fill((now + timedelta(hours=4)).strftime("%Y-%m-%dT%H:%M"))
    page.get_by_role("button", name="Schedule").click()
    page.wait_for_url(journey.release)
    page.get_by_role("button", name="Ask for votes").first.click()
    expect(page.locator("#poll")).to_contain_text("0 of 3")
    expect(page.locator(".blockers li")).to_have_count(3)
    page.goto(journey.release.replace("/releases/", "/runs/release/") + "deploy")
    page.get_by_role("button", name="Deploy to production now").click()
    expect(page.get_by_role("alert")).to_contain_text("has not voted")
    assert journey.stack.running_version("production") == journey.stack.example.old_version


def approved(journey: Journey) -> None:
    """Three approvers vote, one with a concern. The manager's board follows without a reload."""
    board = journey.board("manager")
    with journey.no_reload(board):
        _vote(journey, "release-management", "Go")
        expect(board.locator("#poll")).to_contain_text("1 of 3")
        _vote(journey, "engineering", "Go, with concern", "Watch the lesson pages after the migration.")
        expect(board.locator("#poll")).to_contain_text("Watch the lesson pages after the migration.")
        _vote(journey, "security", "Go")
        expect(board.locator("#poll")).to_contain_text("3 of 3")
        _expect_state(board, "Approved")
        expect(board.get_by_role("link", name="Deploy to production")).to_be_visible()
    journey.inspect("board, approved", board)


def _vote(journey: Journey, who: str, choice: str, comment: str = "") -> None:
    page = journey.board(who)
    page.get_by_role("link", name="Read and vote").first.click()
    page.get_by_role("radio", name=choice, exact=True).check()
    if comment:
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.locator("form[aria-label='Your vote']")).to_contain_text("Say why")
        page.get_by_label("Why").fill(comment)
    page.get_by_role("button", name="Sign", exact=True).click()
    page.wait_for_url(journey.release)
    expect(page.get_by_role("alert")).to_have_count(0)


def launched(journey: Journey) -> None:
    """The manager deploys; somebody else's board goes from approved to watching by itself."""
    board, page = journey.board("auditor"), journey.board("manager")
    with journey.no_reload(board):
        page.get_by_role("link", name="Deploy to production").click()
        page.get_by_role("button", name="Deploy to production now").click()
        page.wait_for_url("**/runs/*/")
        _expect_state(board, "Deploying")
        journey.wait_for_end(page)
        _expect_state(board, "Watching|Live")
    journey.inspect("board, watching", board)
    journey.inspect("run of the deploy", page)
    assert journey.stack.running_version("production") == journey.stack.example.new_version
    assert journey.stack.learners("production") >= journey.old_learners


def live(journey: Journey) -> None:
    """Watched by its probes, the release is called live, and the board says so by itself."""
    board = journey.board("viewer")
    with journey.no_reload(board):
        _expect_state(board, "Live")
        expect(board.locator("#release-monitoring")).to_contain_text("kept its limits")


def verified(journey: Journey) -> None:
    """The auditor reads the ledger, verifies it here, and downloads it to verify it elsewhere."""
    page = journey.page("auditor")
    page.goto(f"{journey.stack.address}/ledger/")
    page.get_by_label("Action").select_option("vote.cast")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#entries tbody tr")).to_have_count(3)
    page.locator("#entries tbody tr").first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto(f"{journey.stack.address}/ledger/")
    page.get_by_role("button", name="Verify the ledger").click()
    expect(page.locator("#verification")).to_contain_text("Verified", timeout=60_000)
    page.goto(f"{journey.stack.address}/ledger/")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download the chain").click()
    verifier = [sys.executable, "-I", str(BASE_DIR / "releases" / "verify_ledger.py")]
    done = subprocess.run([*verifier, str(downloading.value.path())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def rolled_back(journey: Journey) -> None:
    """The manager goes back: the old version answers with its data, and the board of a viewer says so by itself."""
    board, page = journey.board("viewer"), journey.board("manager")
    with journey.no_reload(board):
        page.get_by_role("link", name="Roll back", exact=True).click()
        page.get_by_label("Reason").fill("The journey goes back.")
        page.get_by_role("button", name="Roll back now").click()
        page.wait_for_url("**/runs/*/")
        journey.wait_for_end(page)
        _expect_state(board, "Rolled back")
    journey.inspect("board, rolled back", journey.board("manager"))
    assert journey.stack.running_version("production") == journey.stack.example.old_version
    assert journey.stack.learners("production") == journey.old_learners


CHAPTERS: dict[str, Callable[[Journey], None]] = {
    chapter.__name__: chapter
    for chapter in (
        settled, rehearsing, deployed_to_staging, rehearsed, checked, accepted, signed, alerted, asked, approved,
        launched, live, verified, rolled_back,
    )
}  # fmt: skip
