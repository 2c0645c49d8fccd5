/** What all pages share in their head: the ways to the pages that this server has, who is logged in, log-out. */

import { byId, element } from "./dom.js";
import { RELAY } from "./http.js";

const SESSION = "/api/v1/session";

/** Show the links to the pages that are there, and who is logged in. */
export async function head() {
  for (const [id, path] of [["to-check", "/check"], ["to-history", "/history"]]) show(id, path);
  const user = await session();
  if (!user?.name) return;
  const button = element("button", { type: "button", id: "log-out", title: `Logged in as ${user.name}` }, "Log out");
  button.addEventListener("click", logOut);
  document.querySelector("nav").append(element("span", { class: "user", id: "user" }, user.name), button);
}

/** Who is logged in: {login, name, role}; null where this server has no log-in. */
export async function session() {
  try {
    const answer = await fetch(new URL(SESSION, RELAY), { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // the server is away: the page says so elsewhere
  }
}

async function show(id, path) {
  const link = byId(id);
  if (!link || link.ariaCurrent) return;
  try {
    link.hidden = !(await fetch(new URL(path, RELAY), { method: "HEAD" })).ok;
  } catch {
    // likewise
  }
}

async function logOut() {
  await fetch(new URL(SESSION, RELAY), { method: "DELETE" });
  location.assign("/login");
}
