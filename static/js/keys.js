// Single keys: "/" finds, "g r" goes, "?" shows them all. They can be turned off in the help dialog.
// An element names its key: data-key="g r" (a link is followed), data-key="/" (a field gets the focus).

const dialog = document.getElementById("keys");
const KEPT = "gonogo-keys";
let first = "";
let timer = 0;

function areOn() {
  try {
    return localStorage.getItem(KEPT) !== "off";
  } catch {
    return true;
  }
}

function isTyping(element) {
  return element instanceof HTMLElement && (element.isContentEditable || element.matches("input, select, textarea"));
}

function isSeen(element) {
  return !element.disabled && element.getClientRects().length > 0;
}

function label(element) {
  const words = element.dataset.keyLabel || element.getAttribute("aria-label") || element.placeholder || element.textContent;
  return words.trim().replace(/\s+/g, " ");
}

function shortcuts() {
  return [...document.querySelectorAll("[data-key]")].filter((element) => isSeen(element) && !element.closest("dialog"));
}

function fillHelp() {
  const rows = [["?", "These keys"], ...shortcuts().map((element) => [element.dataset.key, label(element)])];
  const list = dialog.querySelector("[data-keys-list]");
  list.replaceChildren();
  for (const [keys, words] of rows) {
    const term = document.createElement("dt");
    for (const key of keys.split(" ")) {
      const cap = document.createElement("kbd");
      cap.textContent = key;
      term.append(cap, " ");
    }
    const meaning = document.createElement("dd");
    meaning.textContent = words;
    list.append(term, meaning);
  }
  dialog.querySelector("[data-keys-on]").checked = areOn();
}

function use(element) {
  if (isTyping(element) && element.type !== "checkbox") {
    element.focus();
    element.select?.();
  } else element.click();
}

document.addEventListener("keydown", (event) => {
  if (!dialog || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || !areOn()) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "?") {
    event.preventDefault();
    dialog.showModal();
    return;
  }
  const pressed = first ? `${first} ${event.key}` : event.key;
  clearTimeout(timer);
  first = "";
  const all = shortcuts();
  const match = all.find((element) => element.dataset.key === pressed);
  if (match) {
    event.preventDefault();
    use(match);
  } else if (all.some((element) => element.dataset.key.startsWith(`${event.key} `))) {
    first = event.key;
    timer = setTimeout(() => {
      first = "";
    }, 1200);
  }
});

if (dialog) {
  // However it was opened, it lists the keys of the page as it stands now.
  new MutationObserver(() => {
    if (dialog.open) fillHelp();
  }).observe(dialog, { attributes: true, attributeFilter: ["open"] });
  dialog.querySelector("[data-keys-on]").addEventListener("change", (event) => {
    try {
      if (event.target.checked) localStorage.removeItem(KEPT);
      else localStorage.setItem(KEPT, "off");
    } catch {
      // Storage is closed to us: the keys stay on.
    }
  });
}
