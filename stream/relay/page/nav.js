/** What all pages share in their head: the way to the checks, where there is one. */

import { byId } from "./dom.js";
import { RELAY } from "./http.js";

/** Show the link to the page of checks if this server has one. */
export async function showChecks() {
  try {
    byId("to-check").hidden = !(await fetch(new URL("/check", RELAY), { method: "HEAD" })).ok;
  } catch {
    // the server is away: the page says so elsewhere
  }
}
