/** What all pages share in their head: the ways to the pages that this server has, who is logged in, log-out. */

import { element } from "./dom.js";
import { RELAY } from "./http.js";

const SESSION = "/api/v1/session";

/** Show the links to the pages that are there, and who is logged in. */
export async function head() {
  const { name, pages } = await session();
  for (const path of ["check", "history"]) {
    const link = document.getElementById(`to-${path}`);
    if (link) link.hidden = !pages.includes(`/${path}`);
  }
  if (!name) return;
  const button = element("button", { type: "button", id: "log-out", title: `Logged in as ${name}` }, "Log out");
  button.addEventListener("click", logOut);
  document.querySelector("nav").append(element("span", { class: "user", id: "user" }, name), button);
}

/** Who is logged in, and what this server has: {login, name, role, pages}. */
async function session() {
  try {
    const answer = await fetch(new URL(SESSION, RELAY), { cache: "no-store" });
    if (answer.ok) return await answer.json();
  } catch {
    // the server is away: the page says so elsewhere
  }
  return { login: false, name: "", role: "", pages: [] };
}

async function logOut() {
  await fetch(new URL(SESSION, RELAY), { method: "DELETE" });
  location.assign("/login");
}
