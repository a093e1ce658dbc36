"""A second small real site, with one page for each of wapiti's modules that the shop has no flaw for.

Flaws are planted by name; without any it is sound. Nobody logs in. Commands, queries and uploads are really run.
"""

import email
import email.policy
import html
import re
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.kinds_audit.directory import BadFilter, escaped, people_of

FLAWS = {
    "command-execution", "header-injection", "stored-scripting", "backup-served", "guarded-for-some-methods",
    "directory-injection", "methods-answered", "slow-injection", "uploads-run",
}  # fmt: skip
LINKS = (
    "/ping?host=tea", "/language?to=en", "/guests", "/price-list.txt", "/staff", "/people?name=Ann", "/shelf",
    "/stock?id=1", "/pictures",
)  # fmt: skip
#: Methods that a sound page refuses.
UNUSUAL = ("PUT", "DELETE", "PATCH", "TRACE", "CONNECT")


class Annex:
    """State of the site."""

    def __init__(self, flaws: set[str], folder: str) -> None:
        """``folder``: where commands are run; some of wapiti's write a file."""
        assert flaws <= FLAWS, flaws - FLAWS
        self.flaws, self.folder = flaws, folder
        self.guests: list[str] = []
        self.uploads: dict[str, bytes] = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def open_annex(*flaws: str) -> Iterator[Annex]:
    with tempfile.TemporaryDirectory() as folder:
        annex = Annex(set(flaws), folder)

        class Handler(Answers):
            held = annex

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        annex.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield annex
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)


class Answers(BaseHTTPRequestHandler):
    held: Annex

    def __getattr__(self, name: str) -> Any:
        # Any method is answered by the same function, also those that nobody has heard of.
        if name.startswith("do_"):
            return self._answered
        raise AttributeError(name)

    def _answered(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.command == "POST" and "multipart" not in self.headers.get("Content-Type", ""):
            asked |= {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        page = {
            "/": self._home, "/ping": self._ping, "/language": self._language, "/guests": self._guests,
            "/price-list.txt": self._list, "/price-list.txt.bak": self._backup, "/staff": self._staff,
            "/people": self._people, "/shelf": self._shelf, "/stock": self._stock, "/pictures": self._pictures,
        }.get(parts.path)  # fmt: skip
        refused = self.command in UNUSUAL and parts.path not in ("/staff", "/shelf")
        if parts.path.startswith("/uploads/") and not refused:
            self._uploaded(parts.path.removeprefix("/uploads/"))
        elif page is None:
            self._answer("nothing here", status=404)
        elif refused:
            self._answer("not so", status=405)
        elif parts.path == "/pictures" and self.command == "POST":
            self._upload(body)
        else:
            page(asked)

    def _home(self, _asked: dict[str, str]) -> None:
        self._answer(" ".join(f'<a href="{html.escape(link)}">{link}</a>' for link in LINKS))

    def _ping(self, asked: dict[str, str]) -> None:
        host = asked.get("host", "").replace("\x00", "")
        flawed = "command-execution" in self.held.flaws
        command = ["sh", "-c", f"echo Asking {host}"] if flawed else ["echo", "Asking", host]
        # It ends the whole group, also what a command has started.
        limited = ["timeout", "-k", "1", "2", *command]
        done = subprocess.run(limited, capture_output=True, text=True, errors="replace", check=False,
                              cwd=self.held.folder, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})  # fmt: skip
        self._answer(f"<pre>{html.escape(done.stdout)}</pre>")

    def _language(self, asked: dict[str, str]) -> None:
        chosen = asked.get("to", "en")
        if "header-injection" not in self.held.flaws:
            chosen = re.sub(r"[^a-z-]", "", chosen)
        self._answer("<p>Chosen.</p>", headers={"Content-Language": chosen})

    def _guests(self, asked: dict[str, str]) -> None:
        if self.command == "POST" and asked.get("words"):
            self.held.guests.append(asked["words"])
        plain = "stored-scripting" in self.held.flaws
        shown = "".join(f"<li>{words if plain else html.escape(words)}</li>" for words in self.held.guests)
        self._answer(f'<ul>{shown}</ul><form method="post" action="/guests"><input name="words" value="Hi"></form>')

    def _list(self, _asked: dict[str, str]) -> None:
        self._answer("Tea: 3", kind="text/plain")

    def _backup(self, _asked: dict[str, str]) -> None:
        there = "backup-served" in self.held.flaws
        self._answer("Tea: 2" if there else "nothing here", status=200 if there else 404, kind="text/plain")

    def _staff(self, _asked: dict[str, str]) -> None:
        open_to_all = "guarded-for-some-methods" in self.held.flaws and self.command not in ("GET", "HEAD", "POST")
        self._answer("Wages" if open_to_all else "Who are you?", status=200 if open_to_all else 401)

    def _people(self, asked: dict[str, str]) -> None:
        name = asked.get("name", "")
        name = name if "directory-injection" in self.held.flaws else escaped(name)
        try:
            found = people_of(f"(&(objectClass=person)(cn={name}))")
        except BadFilter as error:
            self._answer(f"Bad search filter: {html.escape(str(error))}", status=200)
            return
        self._answer("".join(f"<li>{html.escape(each)}</li>" for each in found) or "<p>Nobody.</p>")

    def _shelf(self, _asked: dict[str, str]) -> None:
        if self.command in UNUSUAL and "methods-answered" not in self.held.flaws:
            self._answer("not so", status=405)
        else:
            self._answer("The shelf is empty now." if self.command == "DELETE" else "A shelf.")

    def _stock(self, asked: dict[str, str]) -> None:
        number = asked.get("id", "").replace("\x00", "")
        database = sqlite3.connect(":memory:")
        # As MySQL has it, with what follows a number sign as a comment: wapiti knows no delay of SQLite's own.
        database.create_function("sleep", 1, lambda seconds: time.sleep(float(seconds) + 1))
        with closing(database), suppress(sqlite3.Error, sqlite3.Warning):
            if "slow-injection" in self.held.flaws:
                database.execute(f"select 1 where 1 = {number.partition('#')[0]}").fetchone()
            else:
                database.execute("select 1 where 1 = ?", [number]).fetchone()
        # Whatever comes of it, the answer is the same: only the time tells.
        self._answer("<p>We will write to you.</p>")

    def _pictures(self, _asked: dict[str, str]) -> None:
        self._answer(
            '<form method="post" action="/pictures" enctype="multipart/form-data">'
            '<input type="file" name="picture"><button>Send</button></form>'
        )

    def _upload(self, body: bytes) -> None:
        kind = self.headers["Content-Type"]
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=email.policy.HTTP)
        part = next((each for each in message.iter_parts() if each.get_filename()), None)
        if part is None:
            self._answer("No picture.", status=400)
            return
        name = re.sub(r"[^A-Za-z0-9.]", "", part.get_filename() or "")
        if "uploads-run" not in self.held.flaws:
            name = name.partition(".")[0] + ".png"
        self.held.uploads[name] = part.get_payload(decode=True)
        self._answer(f'<a href="/uploads/{name}">See it</a>')

    def _uploaded(self, name: str) -> None:
        content = self.held.uploads.get(name)
        if content is None:
            self._answer("nothing here", status=404)
        elif "uploads-run" in self.held.flaws and not name.endswith(".png"):
            self._answer(run_php(content.decode("latin-1")))
        else:
            self._answer(content.decode("latin-1"), kind="image/png")

    def _answer(
        self, body: str, *, status: int = 200, headers: dict[str, str] | None = None, kind: str = "text/html"
    ) -> None:
        content = body.encode()
        sent = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(content)), **(headers or {})}
        try:
            self.send_response(status)
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError, UnicodeEncodeError):
            self.close_connection = True

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


def run_php(text: str) -> str:
    """What a server that runs uploads would print of the two lists that wapiti sends: pieces, and their order."""
    pieces = dict(re.findall(r'(\d+) => "([^"]*)"', text))
    order = re.search(r"\$b = array\(([\d,]*)\)", text)
    return "".join(pieces[number] for number in order[1].split(",")) if order and pieces else text
