// Keeps a page true without a reload. One EventSource for each page: <main data-live="/url/of/events">.
// A part names the events it shows: <section hx-get="…" hx-trigger="live" hx-swap="outerHTML"
// data-live-refresh="run station">. On such an event, htmx fetches the part again. Events are doorbells only: what is
// shown always comes from the server's page, so a lost event costs nothing once the line is back.

import { whileSeen } from "./seen.js";

const DEBOUNCE = 250;
const QUIET = 45_000; // Where the server sends "beat" every 15 s, three missing ones mean a dead line.
const WORDS = { live: "Live", reconnecting: "Reconnecting", offline: "Offline, reload to see what is new" };

const waiting = new Map();
const listened = new Set();
let source = null;
let lost = 0;
let silence = 0;
let retry = 0;
let delay = 1000;
let beats = false;

function indicate(state) {
  for (const place of document.querySelectorAll("[data-live-indicator]")) {
    place.hidden = false;
    if (place.dataset.state === state) continue;
    place.dataset.state = state;
    place.textContent = WORDS[state];
  }
}

function isBusy(part) {
  const active = document.activeElement;
  return part.querySelector("dialog[open]") !== null || (active !== null && part.contains(active) && active.matches("input:not([type=checkbox], [type=radio]), textarea, select"));
}

function refresh(asked) {
  // Since it was asked for, the part may have been swapped for its successor.
  const part = asked.isConnected ? asked : asked.id && document.getElementById(asked.id);
  if (!part) return;
  if (part.classList.contains("htmx-request")) {
    // What is being fetched may be older than this event, and the swap would drop a request that waits behind it.
    later(part);
    return;
  }
  if (isBusy(part)) {
    // Somebody types here: what they wrote must not vanish. Fetch it when they leave.
    part.addEventListener("focusout", () => later(part), { once: true });
    return;
  }
  window.htmx?.trigger(part, "live");
}

function later(part) {
  clearTimeout(waiting.get(part));
  waiting.set(
    part,
    setTimeout(() => {
      waiting.delete(part);
      refresh(part);
    }, DEBOUNCE),
  );
}

function names(part) {
  return part.dataset.liveRefresh.split(/\s+/).filter(Boolean);
}

function ring(event) {
  for (const part of document.querySelectorAll("[data-live-refresh]")) {
    if (event === "*" || names(part).includes(event) || names(part).includes("*")) later(part);
  }
}

function heard() {
  clearTimeout(silence);
  if (!beats) return; // Heartbeats as comments are not seen by scripts; then silence says nothing.
  silence = setTimeout(() => {
    source?.close();
    again();
  }, QUIET);
}

function again() {
  lost ||= Date.now();
  indicate(Date.now() - lost > 60_000 ? "offline" : "reconnecting");
  clearTimeout(retry);
  retry = setTimeout(connect, delay + Math.random() * 500);
  delay = Math.min(delay * 2, 15_000);
}

function listen() {
  for (const part of document.querySelectorAll("[data-live-refresh]")) {
    for (const name of names(part)) {
      if (listened.has(name) || name === "*") continue;
      listened.add(name);
      source?.addEventListener(name, onEvent);
    }
  }
}

function onEvent(event) {
  heard();
  ring(event.type);
}

function connect() {
  const url = document.querySelector("main[data-live]")?.dataset.live;
  if (!url || !("EventSource" in window)) return;
  source?.close();
  source = new EventSource(url);
  listened.clear();
  source.addEventListener("open", () => {
    indicate("live");
    if (lost) ring("*"); // What happened while the line was down was not heard.
    lost = 0;
    delay = 1000;
    heard();
  });
  source.addEventListener("beat", () => {
    beats = true;
    heard();
  });
  source.addEventListener("message", (event) => {
    heard();
    ring(event.data.trim() || "*");
  });
  source.addEventListener("error", () => {
    clearTimeout(silence);
    if (source.readyState === EventSource.CLOSED) again();
    else {
      lost ||= Date.now();
      indicate("reconnecting");
    }
  });
  listen();
}

// What tells one link, button or summary of a part from the others, before and after a swap.
function mark(element) {
  const name = element.getAttribute("href") ?? element.dataset.copy ?? element.getAttribute("name") ?? "";
  return `${element.tagName} ${name} ${element.textContent.trim()}`;
}

// A part that is swapped keeps its open <details> and the focus, and may bring parts with new events.
const opened = new Set();
let held = null;
function keep(event) {
  const focused = document.activeElement;
  const part = event.detail.target;
  if (focused && part?.contains?.(focused)) held = { part: part.id, mark: mark(focused) };
  for (const details of event.detail.target?.querySelectorAll?.("details[id][open]") ?? []) opened.add(details.id);
}
document.addEventListener("htmx:beforeSwap", keep);
document.addEventListener("htmx:oobBeforeSwap", keep); // One answer may bring more than one part.
document.addEventListener("htmx:afterSettle", () => {
  for (const id of opened) {
    const details = document.getElementById(id);
    if (details) details.open = true;
  }
  opened.clear();
  if (held && document.activeElement === document.body) {
    const part = document.getElementById(held.part) ?? document;
    const reached = part.querySelectorAll("a[href], button, summary, input, select, textarea");
    [...reached].find((element) => mark(element) === held.mark)?.focus({ preventScroll: true });
  }
  held = null;
  if (source) listen();
});

function rest() {
  source?.close();
  clearTimeout(silence);
  clearTimeout(retry);
  lost ||= Date.now(); // What happens meanwhile is not heard.
}

// A page kept in the browser's back cache must not hold one of the few connections a browser grants.
window.addEventListener("pagehide", rest);
window.addEventListener("pageshow", (event) => {
  if (event.persisted) connect();
});
// The log of a run has a stream of its own, which tells of the run's state too.
document.addEventListener("live:ring", (event) => ring(event.detail));
window.addEventListener("online", () => {
  if (lost && !document.hidden) connect();
});
if (document.hidden) lost = Date.now(); // Opened in the background: it may be old when somebody comes.
whileSeen(connect, rest);
