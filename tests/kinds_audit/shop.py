"""A small real shop with a database, whose flaws are planted by name; without any it is sound.

Its pages are reached through a log-in only, so a scan that is not let in sees none of them.
"""

import html
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from tests.kinds_audit.site import PASSWORD, USER

FLAWS = {"cross-site-scripting", "sql-injection", "open-redirect", "path-traversal", "forgery"}


class Shop:
    """State of the shop. ``log_out_after``: requests with a session after which every session ends.

    ``die_after``: requests after which nothing is answered any more.
    """

    def __init__(self, folder: Path, flaws: set[str], log_out_after: int, die_after: int) -> None:
        assert flaws <= FLAWS, flaws - FLAWS
        self.flaws, self.log_out_after, self.die_after = flaws, log_out_after, die_after
        self.sessions: set[str] = set()
        self.tokens: set[str] = set()
        self.seen: list[tuple[str, str]] = []
        self.inside = 0
        self.port = 0
        self.notes = 0
        self.lock = threading.Lock()
        self.database = sqlite3.connect(":memory:", check_same_thread=False)
        self.database.executescript("create table item (id integer, name text); insert into item values (1, 'Tea');")
        (folder / "terms.txt").write_text("Terms of the shop.")
        self.folder = folder

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def open_shop(folder: Path, *flaws: str, log_out_after: int = 0, die_after: int = 0) -> Iterator[Shop]:
    folder.mkdir(exist_ok=True)
    shop = Shop(folder, set(flaws), log_out_after, die_after)

    class Handler(Answers):
        held = shop

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    shop.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class Answers(BaseHTTPRequestHandler):
    held: Shop

    def do_GET(self) -> None:
        self._answered({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(errors="replace")
        self._answered({name: values[0] for name, values in parse_qs(body).items()})

    def _answered(self, sent: dict[str, str]) -> None:
        shop, parts = self.held, urlsplit(self.path)
        shop.seen.append((self.command, self.path))
        if shop.die_after and len(shop.seen) > shop.die_after:
            self.close_connection = True
            return
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/login/":
            self._log_in(sent)
            return
        if not self._is_in():
            self._answer('<a href="/login/">Log in</a>', status=200 if parts.path == "/" else 403)
            return
        page = {
            "/": self._home, "/account/": self._account, "/search": self._search, "/item": self._item, "/go": self._go,
            "/file": self._file, "/notes": self._notes, "/logout/": self._log_out,
        }.get(parts.path)  # fmt: skip
        if page is None:
            self._answer("nothing here", status=404)
        else:
            page({**asked, **sent})

    # --- pages -------------------------------------------------------------------------------------------------------

    def _home(self, _asked: dict[str, str]) -> None:
        self._answer(
            '<a href="/search?q=tea">Search</a> <a href="/item?id=1">Tea</a> <a href="/go?to=/account/">Account</a>'
            ' <a href="/file?name=terms.txt">Terms</a> <a href="/notes">Notes</a> <a href="/logout/">Log out</a>'
        )

    def _account(self, _asked: dict[str, str]) -> None:
        self._answer("<p>Signed in as the auditor</p>")

    def _search(self, asked: dict[str, str]) -> None:
        words = asked.get("q", "")
        self._answer(f"<p>Nothing for {words if 'cross-site-scripting' in self.held.flaws else html.escape(words)}</p>")

    def _item(self, asked: dict[str, str]) -> None:
        number = asked.get("id", "")
        try:
            with self.held.lock:
                if "sql-injection" in self.held.flaws:
                    found = self.held.database.execute(f"select name from item where id = {number}").fetchone()
                else:
                    found = self.held.database.execute("select name from item where id = ?", [number]).fetchone()
        except sqlite3.Error as error:
            self._answer(f"sqlite3.OperationalError: {html.escape(str(error))}", status=500)
            return
        self._answer(f"<p>{html.escape(found[0])}</p>" if found else "<p>No such item.</p>")

    def _go(self, asked: dict[str, str]) -> None:
        target = asked.get("to", "/")
        own = target.startswith("/") and not target.startswith(("//", "/\\"))
        target = target if own or "open-redirect" in self.held.flaws else "/"
        self._answer("", status=302, headers={"Location": quote(target, safe=":/?&=%#@")})

    def _file(self, asked: dict[str, str]) -> None:
        name = asked.get("name", "").replace("\x00", "")
        path = (self.held.folder / name).resolve()
        if "path-traversal" not in self.held.flaws and not path.is_relative_to(self.held.folder.resolve()):
            self._answer("nothing here", status=404)
            return
        try:
            self._answer(path.read_text(errors="replace")[:5000], kind="text/plain")
        except OSError:
            self._answer("nothing here", status=404)

    def _notes(self, asked: dict[str, str]) -> None:
        guarded = "forgery" not in self.held.flaws
        if self.command == "POST":
            if guarded and asked.get("csrf_token") not in self.held.tokens:
                self._answer("Forged.", status=403)
                return
            self.held.notes += 1
        token = f'<input type="hidden" name="csrf_token" value="{self._token()}">' if guarded else ""
        self._answer(
            f'<form method="post" action="/notes">{token}<input name="note" value="x"><button>Go</button></form>'
        )

    # --- log-in ------------------------------------------------------------------------------------------------------

    def _token(self) -> str:
        token = secrets.token_hex(16)
        self.held.tokens.add(token)
        return token

    def _log_in(self, sent: dict[str, str]) -> None:
        if (
            sent.get("email") == USER
            and sent.get("password") == PASSWORD
            and sent.get("csrf_token") in self.held.tokens
        ):
            name = secrets.token_hex(16)
            self.held.sessions.add(name)
            cookie = f"session={name}; Path=/; HttpOnly; SameSite=Lax; Secure"
            self._answer("", status=302, headers={"Location": "/account/", "Set-Cookie": cookie})
            return
        self._answer(
            f'<form method="post"><input type="hidden" name="csrf_token" value="{self._token()}">'
            '<input type="email" name="email"><input type="password" name="password"><button>Go</button></form>'
        )

    def _log_out(self, _asked: dict[str, str]) -> None:
        self.held.sessions.clear()
        self._answer("", status=302, headers={"Location": "/"})

    def _is_in(self) -> bool:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        if not cookie or cookie.value not in self.held.sessions:
            return False
        self.held.inside += 1
        if self.held.log_out_after and self.held.inside > self.held.log_out_after:
            self.held.sessions.clear()
        return True

    # --- answers -----------------------------------------------------------------------------------------------------

    def _answer(
        self, body: str, *, status: int = 200, headers: dict[str, str] | None = None, kind: str = "text/html"
    ) -> None:
        try:
            content = body.encode()
            sent = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(content)), **(headers or {})}
            self.send_response(status)
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError, ValueError):
            self.close_connection = True

    def log_message(self, *_args: Any) -> None:
        """Quiet."""
