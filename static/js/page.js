// Small behaviours of every page: theme choice, copy buttons, menus, dialogs, focus on a refused form.

const root = document.documentElement;

function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // Storage is closed to us: the choice holds for this page.
  }
}

function showTheme(group) {
  const current = root.dataset.theme ?? "auto";
  for (const button of group.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.value === current));
  }
}

function chooseTheme(value) {
  if (value === "auto") delete root.dataset.theme;
  else root.dataset.theme = value;
  keep("gonogo-theme", value === "auto" ? null : value);
  document.querySelectorAll("[data-theme-choice]").forEach(showTheme);
}

async function copy(button) {
  const text = button.dataset.copy;
  const told = button.getAttribute("aria-label");
  try {
    await navigator.clipboard.writeText(text);
    button.setAttribute("aria-label", "Copied");
    button.dataset.copied = "";
  } catch {
    window.prompt("Copy this", text);
  }
  setTimeout(() => {
    button.setAttribute("aria-label", told);
    delete button.dataset.copied;
  }, 1500);
}

function enhance(part) {
  for (const element of part.querySelectorAll("[data-needs-script], [data-copy], [data-theme-choice]")) {
    element.hidden = false;
  }
  part.querySelectorAll("[data-theme-choice]").forEach(showTheme);
  part.querySelectorAll(".scroll").forEach(reach);
}

// A window that became narrow, or a phone that was turned.
window.addEventListener("resize", () => document.querySelectorAll(".scroll").forEach(reach));

// A table that scrolls sideways can be scrolled by the keyboard, and says what it is.
function reach(region) {
  if (region.scrollWidth <= region.clientWidth || region.hasAttribute("tabindex")) return;
  const heading = region.querySelector("caption") ?? region.closest("section, div.card, figure")?.querySelector("h2, h3");
  region.tabIndex = 0;
  region.setAttribute("role", "region");
  region.setAttribute("aria-label", `${heading?.textContent.trim() ?? "Table"}, scrolls sideways`);
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (!target) return;
  const copier = target.closest("[data-copy]");
  if (copier) copy(copier);
  const theme = target.closest("[data-theme-choice] button");
  if (theme) chooseTheme(theme.value);
  const opener = target.closest("[data-open-dialog]");
  if (opener) document.getElementById(opener.dataset.openDialog)?.showModal();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(target) || opener) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary")?.focus();
  }
});

document.addEventListener("htmx:afterSwap", (event) => enhance(event.detail.elt?.parentElement ?? document));

// A whole page never becomes a part of another one. It comes where a part was asked for after the log-in ended.
// A refused fragment is still shown: the server answers 422 with the form and its errors.
document.addEventListener("htmx:beforeSwap", (event) => {
  const isWhole = /^\s*<!doctype/i.test(event.detail.serverResponse ?? "");
  if (isWhole && !event.detail.boosted && event.detail.target !== document.body) {
    event.detail.shouldSwap = false;
    if (/\/login\//.test(event.detail.xhr.responseURL)) {
      tell("You were logged out. What you typed is still here: log in in another tab, then go on.");
    }
    return;
  }
  if (event.detail.xhr.status === 422) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

function tell(text) {
  const place = document.getElementById("messages");
  if (!place) return;
  const note = document.createElement("div");
  note.className = "note nogo";
  note.setAttribute("role", "alert");
  const words = document.createElement("span");
  words.textContent = text;
  note.append(words);
  place.replaceChildren(note);
}

document.addEventListener("htmx:responseError", (event) => {
  const { status, statusText } = event.detail.xhr;
  if (event.detail.requestConfig?.verb === "get") return; // A part that could not be refreshed keeps what it shows.
  tell(`The server refused that (${status} ${statusText}). Nothing was changed by this page. Reload it and try again.`);
});
document.addEventListener("htmx:sendError", (event) => {
  if (event.detail.requestConfig?.verb === "get") return;
  tell("The server could not be reached, so it is not known whether that was done. Reload the page to see what holds.");
});

enhance(document);
document.querySelector("[data-focus-on-load]")?.focus();
