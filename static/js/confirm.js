// Asks before a form is sent: <form data-confirm="Deploy to production?" data-confirm-detail="…"
// data-confirm-yes="Deploy" data-confirm-type="production">. Without scripts the form is sent at once, and the
// server's own guards are all there is, as they are for every other client.

const dialog = document.getElementById("confirm");
const confirmed = new WeakSet();

function part(name) {
  return dialog.querySelector(`[data-confirm-${name}]`);
}

function ask(source) {
  const word = source.dataset.confirmType ?? "";
  const typed = part("typed");
  const input = typed.querySelector("input");
  const yes = part("yes");
  part("title").textContent = source.dataset.confirm;
  part("detail").textContent = source.dataset.confirmDetail ?? "";
  part("detail").hidden = !source.dataset.confirmDetail;
  yes.textContent = source.dataset.confirmYes ?? "Confirm";
  yes.classList.toggle("danger", source.hasAttribute("data-confirm-danger"));
  yes.classList.toggle("primary", !source.hasAttribute("data-confirm-danger"));
  typed.hidden = !word;
  part("word").textContent = word;
  input.value = "";
  yes.disabled = Boolean(word);
  input.oninput = () => {
    yes.disabled = input.value.trim() !== word;
  };
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
  });
}

// Enter in the typed word means yes, once the word is right; it never means "go back".
dialog?.querySelector("input")?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  if (!part("yes").disabled) dialog.close("yes");
});

document.addEventListener(
  "submit",
  async (event) => {
    const form = event.target;
    const source = event.submitter?.hasAttribute("data-confirm") ? event.submitter : form;
    if (!dialog || !source.dataset.confirm || confirmed.has(form)) {
      confirmed.delete(form);
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    const submitter = event.submitter;
    if (await ask(source)) {
      confirmed.add(form);
      form.requestSubmit(submitter ?? undefined);
    }
  },
  true,
);
