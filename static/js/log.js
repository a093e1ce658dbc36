// The live log of a run. Lines come rendered by the server, over one EventSource whose ids are "attempt:line".
// The stream is asked for everything after the last line on the page; a line seen before is dropped, and a gap is
// fetched from the server before anything after it is shown. So no line is missing, doubled or out of order.

import { LogFind } from "./log_find.js";
import { whileSeen } from "./seen.js";

const MOST = 20_000; // Lines on the page at most; data-most changes it.
const WORDS = { live: "Live", reconnecting: "Reconnecting", ended: "Ended", offline: "Offline, reload to see newer lines" };

// The log's stream also tells that the run changed; the parts of the page that show it are fetched anew by live.js.
function ring(name) {
  document.dispatchEvent(new CustomEvent("live:ring", { detail: name }));
}

class Log {
  constructor(card) {
    this.card = card;
    this.view = card.querySelector("[data-log-view]");
    this.follow = card.querySelector("[data-log-follow]");
    this.state = card.querySelector("[data-log-state]");
    this.heard = card.querySelector("[data-log-heard]");
    this.sealed = card.querySelector("[data-log-sealed]");
    this.attempt = Number(card.dataset.attempt || 1);
    this.last = Number(card.dataset.last || 0);
    this.lastAt = Number(this.heard?.dataset.at || 0) * 1000;
    this.most = Number(card.dataset.most || MOST);
    this.pending = [];
    this.frame = 0;
    this.filling = null;
    this.lost = 0;
    this.find = new LogFind(card, this.view, () => this.setFollow(false));
    card.querySelector("[data-log-by-hand]")?.remove();
    this.bind();
    this.mark();
    whileSeen(() => this.connect(), () => this.rest());
    setInterval(() => this.tell(), 500);
  }

  bind() {
    let top = this.view.scrollTop;
    this.view.addEventListener("scroll", () => {
      const now = this.view.scrollTop;
      if (now < top - 2 && this.follow?.checked && !this.isAtEnd()) this.setFollow(false);
      else if (now > top && this.isAtEnd() && this.card.dataset.stream && !this.isMarked()) this.setFollow(true);
      top = now;
    });
    this.follow?.addEventListener("change", () => this.setFollow(this.follow.checked));
    window.addEventListener("hashchange", () => this.mark());
    this.view.addEventListener("click", (event) => this.pick(event));
    window.addEventListener("pagehide", () => this.rest());
    window.addEventListener("pageshow", (event) => event.persisted && this.connect());
  }

  // Following

  isAtEnd() {
    return this.view.scrollHeight - this.view.scrollTop - this.view.clientHeight < 24;
  }

  setFollow(on) {
    if (!this.follow) return;
    this.follow.checked = on;
    if (on) this.toEnd();
  }

  toEnd() {
    this.view.scrollTop = this.view.scrollHeight;
  }

  // Links to a line or a range: #L12, #L12-L20

  isMarked() {
    return /^#L\d+/.test(location.hash);
  }

  mark() {
    for (const line of this.view.querySelectorAll(".marked")) line.classList.remove("marked");
    const match = /^#L(\d+)(?:-L?(\d+))?$/.exec(location.hash);
    if (!match) {
      if (this.follow?.checked) this.toEnd();
      return;
    }
    const [from, to] = [Number(match[1]), Number(match[2] ?? match[1])].sort((a, b) => a - b);
    const first = document.getElementById(`L${from}`);
    if (!first && this.card.dataset.older && from <= this.last) {
      this.card.querySelector("[data-log-older] a")?.setAttribute("href", `${this.card.dataset.older}#L${from}`);
      return;
    }
    this.setFollow(false);
    for (let number = from; number <= Math.min(to, from + this.most); number += 1) {
      document.getElementById(`L${number}`)?.classList.add("marked");
    }
    first?.scrollIntoView({ block: "center" });
  }

  pick(event) {
    const link = event.target instanceof Element ? event.target.closest("a.n") : null;
    const match = /^#L(\d+)/.exec(location.hash);
    if (!link || !event.shiftKey || !match) return;
    event.preventDefault();
    const [from, to] = [Number(match[1]), Number(link.parentElement.dataset.n)].sort((a, b) => a - b);
    location.hash = `L${from}-L${to}`;
  }

  // The stream

  connect() {
    const url = this.card.dataset.stream;
    if (!url || this.isSealed) return;
    this.source?.close();
    const address = new URL(url, location.href);
    address.searchParams.set("after", `${this.attempt}:${this.last}`);
    this.source = new EventSource(address);
    this.source.addEventListener("open", () => {
      if (this.lost) ring("*");
      this.lost = 0;
      this.delay = 1000;
      this.indicate("live");
    });
    this.source.addEventListener("lines", (event) => this.receive(event));
    for (const name of ["state", "progress"]) this.source.addEventListener(name, () => ring(name));
    this.source.addEventListener("sealed", (event) => this.seal(event));
    this.source.addEventListener("error", () => {
      this.lost ||= Date.now();
      this.indicate(Date.now() - this.lost > 60_000 ? "offline" : "reconnecting");
      if (this.source.readyState !== EventSource.CLOSED) return;
      this.delay = Math.min((this.delay ?? 500) * 2, 15_000);
      this.retry = setTimeout(() => this.connect(), this.delay + Math.random() * 500);
    });
  }

  rest() {
    this.source?.close();
    clearTimeout(this.retry);
    this.lost ||= Date.now();
  }

  indicate(state) {
    if (!this.state) return;
    this.state.hidden = false;
    this.state.dataset.state = state === "ended" ? "" : state;
    this.state.textContent = WORDS[state];
  }

  receive(event) {
    const attempt = Number(event.lastEventId.split(":")[0]);
    if (attempt > this.attempt) this.begin(attempt);
    if (attempt < this.attempt) return;
    this.pending.push(event.data);
    this.lastAt = Date.now();
    this.frame ||= requestAnimationFrame(() => this.draw());
    // A hidden page gets no frames; its lines are drawn when it is seen, or when many wait.
    if (document.hidden && this.pending.length > 200) this.draw();
  }

  begin(attempt) {
    this.draw();
    if (this.attempt > 0) {
      const note = document.createElement("div");
      note.className = "break";
      note.textContent = `Attempt ${attempt} begins. The lines of attempt ${this.attempt} are kept; reload the page to choose between them.`;
      this.view.replaceChildren(note);
    } // A run that was queued when the page was opened has had no attempt before this one.
    this.attempt = attempt;
    this.last = 0;
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.filling || !this.pending.length) return;
    const holder = document.createElement("template");
    holder.innerHTML = this.pending.join("");
    this.pending = [];
    const lines = [...holder.content.querySelectorAll(".line")];
    const fresh = document.createDocumentFragment();
    for (const [index, line] of lines.entries()) {
      const number = Number(line.dataset.n);
      if (number <= this.last) continue;
      if (number !== this.last + 1) {
        this.pending = [lines.slice(index).map((one) => one.outerHTML).join("")];
        this.append(fresh);
        this.fill();
        return;
      }
      this.last = number;
      fresh.append(line);
    }
    this.append(fresh);
  }

  append(fresh) {
    if (!fresh.childElementCount) return;
    const first = fresh.firstElementChild;
    this.view.append(fresh);
    this.trim();
    this.find.extend(first);
    if (this.follow?.checked) this.toEnd();
    else if (this.isMarked() && !this.view.querySelector(".marked")) this.mark();
  }

  async fill() {
    const url = this.card.dataset.lines;
    const address = new URL(url ?? location.href, location.href);
    address.searchParams.set("after", `${this.attempt}:${this.last}`);
    this.filling = fetch(address, { headers: { Accept: "text/html" } });
    try {
      const answer = await this.filling;
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      this.filling = null;
      const behind = this.pending;
      const before = this.last;
      this.pending = [text, ...behind];
      if (!text.includes("data-n=") || this.noGain === before) throw new Error("the gap was not filled");
      this.noGain = before;
      this.draw();
    } catch {
      this.filling = null;
      this.pending = [];
      // The stream itself replays what follows the last good line.
      this.source?.close();
      this.indicate("reconnecting");
      setTimeout(() => this.connect(), 2000);
    }
  }

  trim() {
    let lines = this.view.querySelectorAll(".line").length;
    if (lines <= this.most) return;
    let older = this.view.querySelector("[data-log-older]");
    if (!older) {
      older = document.createElement("div");
      older.className = "break";
      older.dataset.logOlder = "";
      this.view.prepend(older);
    }
    while (lines > this.most * 0.95) {
      older.nextElementSibling.remove();
      lines -= 1;
    }
    const first = Number(older.nextElementSibling.dataset.n);
    older.textContent = `Lines before ${first.toLocaleString("en")} are kept but no longer on this page. Reload it, or open the raw log, to see them.`;
    this.find.restart();
  }

  seal(event) {
    this.draw();
    const { lines } = JSON.parse(event.data);
    this.isSealed = true;
    ring("state");
    this.source.close();
    this.indicate("ended");
    if (lines > this.last && this.card.dataset.lines) this.fill();
    if (this.sealed) this.sealed.textContent = `sealed at ${Number(lines).toLocaleString("en")} ${lines === 1 ? "line" : "lines"}`;
    if (this.follow) this.follow.closest("label").hidden = true;
    if (this.heard) this.heard.textContent = "";
  }

  tell() {
    if (!this.heard || !this.lastAt || this.isSealed || !this.card.dataset.stream) return;
    const seconds = Math.max(0, (Date.now() - this.lastAt) / 1000);
    const text = seconds < 10 ? seconds.toFixed(1) : String(Math.floor(seconds));
    this.heard.textContent = `last line ${text} s ago`;
  }
}

for (const card of document.querySelectorAll("[data-log]")) {
  if (!card.dataset.logRuns) {
    card.dataset.logRuns = "1";
    new Log(card);
  }
}
