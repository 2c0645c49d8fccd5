/** The page at `/login`: user and password for a session, which a cookie holds that no script can read. */

import { byId, say } from "./dom.js";
import { RELAY } from "./http.js";

const form = byId("login");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("go").disabled = true;
  say(byId("words"), "");
  try {
    await logIn(byId("name").value.trim(), byId("password").value);
    location.assign(next());
  } catch (error) {
    say(byId("words"), error.message);
    byId("password").value = "";
    byId("password").focus();
  } finally {
    byId("go").disabled = false;
  }
});

async function logIn(name, password) {
  const body = JSON.stringify({ name, password });
  const headers = { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(new URL("/api/v1/session", RELAY), { method: "POST", headers, body });
  } catch {
    throw new Error("The server does not answer.");
  }
  if (answer.ok) return;
  if (answer.status === 401) throw new Error("No such user, or another password.");
  if (answer.status === 429) throw new Error(`Too many tries. Try again in ${answer.headers.get("Retry-After")} s.`);
  throw new Error(`The server answered ${answer.status}.`);
}

/** Where to go then: a page of this server, and of no other. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  const url = new URL(wanted, location.origin);
  return url.origin === location.origin && url.pathname !== "/login" ? url.pathname : "/";
}
