/** The page at `/history`: searches what was checked and alerted, page by page, and exports it. */

import { byId, element, say } from "./dom.js";
import { percent } from "./format.js";
import { access, getJson, request } from "./http.js";
import { head } from "./nav.js";
import { STATES, showChip } from "./states.js";
import { tokenForm } from "./tokens.js";

const AT_ONCE = 50; // entries of one answer
let asked = new URLSearchParams();

function wanted() {
  const given = new URLSearchParams();
  for (const name of ["text", "kind", "verdict"]) if (byId(name).value) given.set(name, byId(name).value);
  const [since, until] = [byId("since").value, byId("until").value];
  if (since) given.set("since", new Date(`${since}T00:00`).getTime() / 1000);
  if (until) given.set("until", new Date(`${until}T00:00`).getTime() / 1000 + 86400); // that day too
  return given;
}

async function search(before) {
  const query = new URLSearchParams(asked);
  query.set("limit", AT_ONCE);
  if (before) query.set("before", before);
  try {
    const found = await getJson("watch", `/api/v1/history?${query}`);
    say(byId("words"), "");
    const rows = found.entries.map(row);
    if (before) byId("entries").append(...rows);
    else byId("entries").replaceChildren(...rows);
    byId("none").hidden = byId("entries").childElementCount > 0;
    byId("more").hidden = found.next === null;
    byId("more").dataset.before = found.next ?? "";
  } catch (error) {
    if (!error.wantsToken) say(byId("words"), error.message);
  }
}

function row({ at, kind, name, verdict, fake, by, facts }) {
  const chip = element("td", {});
  showChip(chip, verdict);
  const when = new Date(at * 1000);
  const open = kind === "alert" && facts.phase !== "closed" ? "still open" : null;
  return element("tr", {},
    element("td", {}, element("time", { datetime: when.toISOString() }, when.toLocaleString())),
    element("td", {}, kind), element("th", { scope: "row" }, name),
    chip, element("td", {}, percent(fake), open && element("small", {}, open)), element("td", {}, by || "–"));
}

async function save() {
  try {
    const answer = await request("watch", `/api/v1/history.csv?${wanted()}`);
    const url = URL.createObjectURL(await answer.blob());
    element("a", { href: url, download: "facewitness.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch (error) {
    say(byId("words"), error.message);
  }
}

function begin() {
  asked = wanted();
  search(null);
}

byId("verdict").append(...STATES.map((state) => element("option", { value: state }, state)));
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
byId("csv").addEventListener("click", save);
byId("more").addEventListener("click", () => search(byId("more").dataset.before));
tokenForm();
access.addEventListener("given", begin);
head();
begin();
