/** The token form: shows itself when the relay asks for a token, goes away when one was accepted. */

import { element, say } from "./dom.js";
import { access, giveToken } from "./http.js";

const ACTS = { watch: "watch", publish: "publish", admin: "administer" };

/** Put the form, hidden, where the page's main part begins. */
export function tokenForm() {
  const label = element("label", { for: "token-input" }, "Token");
  const input = element("input", { id: "token-input", type: "password", autocomplete: "off", spellcheck: "false" });
  const words = element("p", { role: "alert", class: "words" });
  const form = element(
    "form",
    { id: "token", class: "card token", hidden: true },
    label,
    input,
    element("button", { type: "submit", class: "primary" }, "Use token"),
    words,
    element("p", { class: "hint" }, "It is kept in this tab only, until the tab is closed."),
  );
  document.querySelector("main").prepend(form);
  let role = "";
  access.addEventListener("wanted", ({ detail }) => {
    const shown = !form.hidden && role === detail.role;
    if (shown && !detail.refused) return;
    role = detail.role;
    say(label, `Token to ${ACTS[role]}`);
    say(words, detail.refused ? "The relay did not accept this token." : "This relay asks for a token.");
    form.hidden = false;
    if (!shown) input.focus();
    else input.select();
  });
  access.addEventListener("accepted", ({ detail }) => {
    if (detail.role !== role) return;
    form.hidden = true;
    input.value = "";
    role = "";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const token = input.value.trim();
    say(words, token ? "" : "Please type the token first.");
    if (token) giveToken(role, token);
  });
}
