/** The page at `/check`: takes a file, follows its check, shows the result. */

import { byId, element, say, speak } from "./dom.js";
import { clock, percent } from "./format.js";
import { access, getJson, request } from "./http.js";
import { head } from "./nav.js";
import { showChip } from "./states.js";
import { tokenForm } from "./tokens.js";
import { upload } from "./upload.js";
import { Verdict } from "./verdict.js";

const EVERY = 400; // ms between two looks at a check
const MOST = 100 * 2 ** 20; // bytes; the server decides, this only spares the way

const verdict = new Verdict({ forget });
let going = null; // {abort: AbortController, id} of the check that is under way

async function take(file) {
  if (!file || going) return;
  say(byId("words"), "");
  if (file.size > MOST) return say(byId("words"), `${file.name} is larger than ${MOST / 2 ** 20} MiB.`);
  going = { abort: new AbortController(), id: "" };
  byId("progress").hidden = false;
  byId("result").hidden = true;
  byId("cancel").focus();
  try {
    tell("Sending", 0);
    const { signal } = going.abort;
    const check = await upload(file, (share) => tell("Sending", share * 0.3), signal);
    going.id = check.id;
    const done = await followed(check, signal);
    verdict.show(done, file);
    speak(`${done.name}: ${done.report.verdict}. ${done.report.sentence}`);
    byId("result-heading").focus();
  } catch (error) {
    if (error.name !== "AbortError") say(byId("words"), sentence(error.message));
    byId("file").focus();
  } finally {
    going = null;
    byId("progress").hidden = true;
    byId("file").value = "";
    refresh();
  }
}

async function followed(check, signal) {
  let now = check;
  while (now.status !== "done") {
    tell(now.status === "queued" ? "Waiting for other checks" : "Checking", 0.3 + 0.7 * now.progress);
    await new Promise((resolve) => setTimeout(resolve, EVERY));
    signal.throwIfAborted();
    now = await (await request("watch", `/api/v1/checks/${check.id}`, { signal })).json();
  }
  return now;
}

function tell(words, share) {
  byId("bar").value = share;
  say(byId("progress-words"), `${words}, ${percent(share)}`);
}

const sentence = (words) => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;

async function forget(id) {
  try {
    await request("watch", `/api/v1/checks/${id}`, { method: "DELETE" });
  } catch (error) {
    if (error.status !== 404) return say(byId("words"), sentence(error.message));
  }
  byId("result").hidden = true;
  byId("file").focus();
  refresh();
}

async function refresh() {
  try {
    const { checks } = await getJson("watch", "/api/v1/checks");
    const done = checks.filter(({ status }) => status === "done");
    byId("earlier").hidden = done.length === 0;
    byId("list").replaceChildren(...done.map(row));
  } catch (error) {
    if (!error.wantsToken) say(byId("words"), sentence(error.message));
  }
}

function row(check) {
  const state = element("span", { class: "row-state" });
  showChip(state, check.report.verdict);
  const told = check.report.fake === null ? "" : `${percent(check.report.fake)} fake`;
  const when = clock(new Date(check.created * 1000));
  const button = element("button", { type: "button", class: "row" },
    element("span", { class: "row-head" }, element("strong", {}, check.name), state),
    element("span", { class: "facts" }, [when, told].filter(Boolean).join(" · ")));
  button.addEventListener("click", () => {
    verdict.show(check, null);
    byId("result-heading").focus();
  });
  return element("li", {}, button);
}

function dropped(event) {
  event.preventDefault();
  byId("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
}

tokenForm();
head();
access.addEventListener("given", refresh);
byId("file").addEventListener("change", () => take(byId("file").files[0]));
byId("cancel").addEventListener("click", () => {
  const { abort, id } = going ?? {};
  abort?.abort();
  if (id) forget(id);
});
// The whole page takes a drop: else the browser would leave it and show the file.
addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget ?? byId("drop").classList.remove("over"));
addEventListener("drop", dropped);
refresh();
