/** The token form: shows itself when the relay asks for a token, goes away when one was accepted. */

import { say } from "./dom.js";
import { access, giveToken } from "./http.js";

const ACTS = { watch: "watch", publish: "publish", admin: "administer" };

/** Wire up the form with this id's input, its label and its line of words. */
export function tokenForm(form) {
  const input = form.querySelector("input");
  const [label, words] = [form.querySelector("label"), form.querySelector("[role=alert]")];
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
