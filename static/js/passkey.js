// Says on the page what the passkeys of allauth would only say in the browser's console.

const REFUSED = "No passkey was used. It was cancelled, or this browser has none for this address. Try again, or log in another way.";

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const place = document.querySelector("main .card, main .stack, main");
  document.getElementById("passkey-refused")?.remove();
  const note = document.createElement("div");
  note.id = "passkey-refused";
  note.className = "note nogo";
  note.setAttribute("role", "alert");
  const text = document.createElement("span");
  text.textContent = REFUSED;
  note.append(text);
  place.prepend(note);
});
