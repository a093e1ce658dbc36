"""A small real site with log-in, sign-up and one form, whose flaws are planted by name; without any it is sound.

``Flaw`` names every flaw that it can have. Sessions, tokens, limits and cookies are real: nothing is answered by rote.
"""

import html
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "auditor@example.org", "Correct-horse-7-battery"
ALLOWED_TRIES = 6
#: After which sessions end that nobody uses, in the variant that ends them.
IDLE_SECONDS = 2.0
FLAWS = {
    "session-fixation", "planted-session", "session-cookie-without-httponly", "session-cookie-without-samesite",
    "session-lives-too-long", "session-identifier-too-short", "session-survives-log-out", "log-in-can-be-forged",
    "form-can-be-forged", "weak-passwords-accepted", "accounts-told-apart", "accounts-told-apart-by-redirect",
    "accounts-told-apart-by-time", "no-limit-of-wrong-passwords", "password-in-address", "session-survives-idleness",
    "accounts-told-apart-by-reset", "accounts-told-apart-by-time-of-reset", "accounts-told-apart-by-sign-up",
    "planted-session-with-its-token", "no-limit-behind-random-words",
}  # fmt: skip

#: One of them stands on the log-in page each time, where words are random.
QUOTES = (
    "A stitch saves nine", "Fortune favours bold people", "Haste breeds waste", "Still waters run deep",
    "Practice first", "Every cloud shines", "Better late", "Actions speak louder", "Knowledge beats gold",
    "Honesty pays", "Birds flock", "Rome took years",
)  # fmt: skip

#: Sound sites that look a little like a flaw, beside the plainly sound one.
VARIANTS = (
    "", "strict", "two-weeks", "limit-by-words", "limit-by-delay", "forged-is-redirected", "fetch-metadata",
    "idle-sessions-end", "token-of-the-session", "planted-session-is-refused", "limit-by-address", "random-words",
)  # fmt: skip


class Site:
    """State of the site. ``variant``: a safe twin that looks a little like a flaw."""

    def __init__(self, flaws: set[str], variant: str = "", password: str = PASSWORD) -> None:
        assert flaws <= FLAWS, flaws - FLAWS
        self.flaws, self.variant = flaws, variant
        self.accounts = {USER: password}
        self.sessions: dict[str, str] = {}
        self.used: dict[str, float] = {}
        self.idle = IDLE_SECONDS if variant == "idle-sessions-end" else 0.0
        #: Token -> the session to which it belongs, where tokens belong to sessions.
        self.tokens: dict[str, str] = {}
        self.bound = variant == "token-of-the-session" or "planted-session-with-its-token" in flaws
        self.wrong: Counter[str] = Counter()
        self.seen: list[str] = []
        self.port = 0
        #: After how many wrong passwords in all one goes wrong, and how: "502" or "drop".
        self.mishap: tuple[int, str] = (0, "")
        #: Whether the page that only somebody who is logged in sees is broken for everybody else.
        self.broken_for_strangers = False
        #: Whether a name that nobody has is answered as if there had been too many tries.
        self.refuses_unknown = False
        self.allowed = ALLOWED_TRIES
        #: From which wrong password on in all, and up to which, everybody waits, for the server has too much to do.
        self.busy = range(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def new_session(self, user: str) -> str:
        name = secrets.token_hex(4 if "session-identifier-too-short" in self.flaws else 16)
        self.sessions[name] = user
        return name


@contextmanager
def serving(flaws: set[str] | None = None, variant: str = "", password: str = PASSWORD) -> Iterator[Site]:
    site = Site(flaws or set(), variant, password)

    class Handler(Answers):
        held = site

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class Answers(BaseHTTPRequestHandler):
    held: Site
    #: A session that this answer begins, for whoever had none.
    begun = ""

    def do_GET(self) -> None:
        self.held.seen.append(f"GET {self.path}")
        parts = urlsplit(self.path)
        data = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.held.variant == "planted-session-is-refused" and self._is_planted():
            self._answer("Nobody knows this session.", status=400)
        elif parts.path == "/login/" and "password" in data:
            self._log_in(data)
        elif page := {"/": self._home, "/login/": self._login, "/account/": self._account, "/settings/": self._settings,
                      "/sign-up/": self._sign_up, "/reset/": self._reset}.get(parts.path):  # fmt: skip
            page()
        else:
            self._answer("nothing here", status=404)

    def do_POST(self) -> None:
        self.held.seen.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        data = {name: values[0] for name, values in parse_qs(body).items()}
        {
            "/login/": self._log_in,
            "/logout/": self._log_out,
            "/settings/": self._save,
            "/sign-up/": self._make,
            "/reset/": self._send_reset,
        }.get(urlsplit(self.path).path, lambda _: self._answer("nothing here", status=404))(data)

    # --- pages -------------------------------------------------------------------------------------------------------

    def _home(self) -> None:
        self._answer("<h1>Welcome</h1>")

    def _login(self, problem: str = "", typed: str = "") -> None:
        cookies = []
        if self.held.variant == "random-words" or "no-limit-behind-random-words" in self.held.flaws:
            problem += f"</p><p>{secrets.choice(QUOTES)}"
        if "session-fixation" in self.held.flaws and not self._session_name():
            cookies.append(self._cookie(self.held.new_session("")))
        method = "get" if "password-in-address" in self.held.flaws else "post"
        self._answer(
            f'<form action="/" method="get"><input name="q"></form><p>{problem}</p>'
            f'<form action="/login/" method="{method}">{self._token()}<input type="hidden" name="next" value="/">'
            f'<input type="email" name="email" value="{html.escape(typed)}"><input type="password" name="password">'
            "<button>Go</button></form>",
            cookies=cookies,
        )

    def _account(self) -> None:
        user = self._user()
        if not user and self.held.broken_for_strangers:
            self._answer("Bad gateway.", status=502)
            return
        if not user:
            self._redirect("/login/")
            return
        self._answer(f'<p>Signed in as {user}</p><form action="/logout/" method="post">{self._token()}</form>')

    def _settings(self) -> None:
        if not self._user():
            self._redirect("/login/")
            return
        self._answer(
            f'<form action="/logout/" method="post">{self._token()}</form><form method="post">{self._token()}'
            '<input type="hidden" name="page" value="1">'
            '<select name="theme"><option value="dark" selected>Dark</option></select></form>'
        )

    def _sign_up(self, problem: str = "") -> None:
        self._answer(
            f'<p>{problem}</p><form method="post">{self._token()}<input type="email" name="email">'
            '<input type="password" name="password1"><input type="password" name="password2"></form>'
        )

    def _reset(self, problem: str = "") -> None:
        self._answer(
            f'<form action="/" method="get"><input name="q"></form><p>{problem}</p><form method="post">{self._token()}'
            '<input type="email" name="email"></form>'
        )

    # --- what changes something --------------------------------------------------------------------------------------

    def _log_in(self, data: dict[str, str]) -> None:
        site, user = self.held, data.get("email", "")
        if "log-in-can-be-forged" not in site.flaws and not self._is_own(data):
            self._answer("Forged.", status=403)
            return
        tried = sum(site.wrong.values()) if site.variant == "limit-by-address" else site.wrong[user]
        unlimited = site.flaws & {"no-limit-of-wrong-passwords", "no-limit-behind-random-words"}
        if not unlimited and tried >= site.allowed:
            self._too_often()
            return
        if site.accounts.get(user) == data.get("password"):
            site.wrong[user] = 0
            self._let_in(user)
            return
        site.wrong[user] += 1
        if sum(site.wrong.values()) in site.busy:
            time.sleep(1.3)
        if sum(site.wrong.values()) == site.mishap[0]:
            if site.mishap[1] == "502":
                self._answer("Bad gateway.", status=502)
            return  # without an answer, the connection is dropped
        known = user in site.accounts
        if site.refuses_unknown and not known:
            self._answer("Go away.", status=403)
            return
        if "accounts-told-apart-by-time" in site.flaws and known:
            time.sleep(0.12)
        if "accounts-told-apart-by-redirect" in site.flaws and not known:
            self._redirect("/sign-up/")
            return
        told = "accounts-told-apart" in site.flaws and not known
        self._login("There is no such account." if told else f"Wrong name or password, {secrets.token_hex(8)}.", user)

    def _too_often(self) -> None:
        if self.held.variant == "limit-by-words":
            self._login("Too many tries. Wait a minute.")
        elif self.held.variant == "limit-by-delay":
            time.sleep(1.2)
            self._login("Wrong name or password, 0123456789abcdef.")
        else:
            self._answer("Too many tries.", status=429)

    def _let_in(self, user: str) -> None:
        site, own = self.held, self._session_name()
        adopted = ("planted-session" in site.flaws and own) or (
            # Renews sessions that it began itself, and takes over one that it has never heard of.
            "planted-session-with-its-token" in site.flaws and self._is_planted()
        )
        if adopted or ("session-fixation" in site.flaws and own in site.sessions):
            site.sessions[own] = user
        else:
            own = site.new_session(user)
        self._redirect("/account/", cookies=[self._cookie(own), "theme=dark; SameSite=Lax; HttpOnly; Path=/"])

    def _log_out(self, data: dict[str, str]) -> None:
        if not self._is_own(data):
            self._answer("Forged.", status=403)
            return
        if "session-survives-log-out" not in self.held.flaws:
            self.held.sessions.pop(self._session_name(), None)
        self._redirect("/", cookies=["session=; Max-Age=0; Path=/"])

    def _save(self, data: dict[str, str]) -> None:
        if not self._user():
            self._redirect("/login/")
        elif "form-can-be-forged" not in self.held.flaws and not self._is_own(data):
            if self.held.variant == "forged-is-redirected":
                self._redirect("/forged/")
            else:
                self._answer("Forged.", status=403)
        elif "page" not in data or "theme" not in data:
            self._answer("Incomplete.", status=400)
        else:
            self._redirect("/settings/")

    def _make(self, data: dict[str, str]) -> None:
        password, weak = data.get("password1", ""), {"password", "1234567890", "qwertyuiop"}
        refused = len(password) < 8 or password in weak
        if refused and "weak-passwords-accepted" not in self.held.flaws:
            self._sign_up("This password is too weak.")
        elif not self._is_own(data) or password != data.get("password2") or "@" not in data.get("email", ""):
            self._sign_up("Something is missing.")
        elif data["email"] in self.held.accounts and "accounts-told-apart-by-sign-up" in self.held.flaws:
            self._sign_up("There is an account with this address.")
        else:
            # Whoever has an account already reads so in the mail.
            self.held.accounts.setdefault(data["email"], password)
            self._redirect("/")

    def _send_reset(self, data: dict[str, str]) -> None:
        known, flaws = data.get("email") in self.held.accounts, self.held.flaws
        if not self._is_own(data):
            self._answer("Forged.", status=403)
            return
        if known and "accounts-told-apart-by-time-of-reset" in flaws:
            time.sleep(0.12)
        if not known and "accounts-told-apart-by-reset" in flaws:
            self._reset("Nobody has this address.")
        else:
            self._redirect("/")

    # --- cookies, tokens, answers ------------------------------------------------------------------------------------

    def _session_name(self) -> str:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        return cookie.value if cookie else ""

    def _user(self) -> str:
        site, name = self.held, self._session_name()
        now = time.monotonic()
        if site.idle and now - site.used.get(name, now) > site.idle:
            site.sessions.pop(name, None)
        site.used[name] = now
        return site.sessions.get(name, "")

    def _cookie(self, value: str) -> str:
        flaws, variant = self.held.flaws, self.held.variant
        text = f"session={value}; Path=/; Secure"
        text += "" if "session-cookie-without-httponly" in flaws else "; HttpOnly"
        same_site = "Strict" if variant == "strict" else "Lax"
        text += "" if "session-cookie-without-samesite" in flaws else f"; SameSite={same_site}"
        if "session-lives-too-long" in flaws:
            text += f"; Max-Age={90 * 86400}"
        return text + (f"; Max-Age={14 * 86400}" if variant == "two-weeks" else "")

    def _is_planted(self) -> bool:
        return bool(self._session_name()) and self._session_name() not in self.held.sessions

    def _token(self) -> str:
        token = secrets.token_hex(16)
        if self.held.bound and not self.begun:
            own = self._session_name()
            if not own or (self._is_planted() and "planted-session-with-its-token" not in self.held.flaws):
                self.begun = self.held.new_session("")
        self.held.tokens[token] = self.begun or self._session_name()
        return f'<input type="hidden" name="csrf_token" value="{token}">'

    def _is_own(self, data: dict[str, str]) -> bool:
        if self.held.variant == "fetch-metadata":
            return self.headers.get("Sec-Fetch-Site", "same-origin") != "cross-site"
        token = data.get("csrf_token", "")
        if self.held.bound:
            return bool(token) and self.held.tokens.get(token) == self._session_name()
        return token in self.held.tokens

    def _redirect(self, place: str, cookies: list[str] | None = None) -> None:
        self._answer("", status=302, cookies=cookies, headers={"Location": place})

    def _answer(
        self, body: str, *, status: int = 200, cookies: list[str] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        try:
            self.send_response(status)
            begun = [self._cookie(self.begun)] if self.begun else []
            for cookie in [*begun, *(cookies or [])]:
                self.send_header("Set-Cookie", cookie)
            content = body.encode()
            sent = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(content)), **(headers or {})}
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_args: Any) -> None:
        """Quiet."""
