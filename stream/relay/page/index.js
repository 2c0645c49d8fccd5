/** The page at `/`: joins its parts. Messages go into the lists; the screen follows a few times a second. */

import { Alerts } from "./alerts.js";
import { byId, calmly, element, say, speak } from "./dom.js";
import { follow } from "./events.js";
import { access, getJson } from "./http.js";
import { head } from "./nav.js";
import { OwnCamera } from "./own.js";
import { Scores } from "./scores.js";
import { Stage } from "./stage.js";
import { NO_SIGNAL, STATES, classOf, sign } from "./states.js";
import { Streams } from "./streams.js";
import { tokenForm } from "./tokens.js";

const MEANINGS = {
  "NO FACE": "There is no face to judge.",
  UNCERTAIN: "A face, but too small, blurred, turned away, or not seen well or long enough: no verdict.",
  CLEAR: "Nothing found that speaks for a manipulated face.",
  SUSPICIOUS: "The score has stayed above the lower threshold.",
  ALERT: "The score has stayed above the upper threshold: an alert is open.",
  [NO_SIGNAL]: "No picture arrives just now.",
};
const LIST_EVERY = 2000; // ms between two looks at /api/streams; the events tell the states at once

const seconds = () => performance.now() / 1000;
const scores = new Scores();
const alerts = new Alerts(byId("alerts"));
const streams = new Streams(byId("streams"), (name) => stage.watch(name));
const stage = new Stage(onWatched);
const own = new OwnCamera({
  joined: (name) => (stage.name === name ? stage.hurry() : stage.watch(name)),
  left: (name) => stage.name === name && stage.stop(),
});
let spokenState = "";
let chosen = false; // the reader, or the address, has said what to watch

const draw = calmly(() => {
  const now = seconds();
  streams.draw(scores, now);
  say(byId("streams-count"), streams.all.size ? String(streams.all.size) : "");
  byId("streams-empty").hidden = streams.all.size > 0;
  stage.draw(streams.all.get(stage.name), scores.of(stage.name), now);
  drawAlerts();
}, 200);
const tell = () => stage.tell(scores.of(stage.name), seconds());

function drawAlerts() {
  alerts.draw();
  say(byId("alerts-count"), alerts.open ? `${alerts.open} open` : "");
  byId("alerts-scroll").hidden = alerts.size === 0;
  byId("alerts-empty").hidden = alerts.size > 0;
  const title = alerts.open ? `ALERT (${alerts.open}) – Facewitness` : "Facewitness";
  if (document.title !== title) document.title = title;
}

function onWatched(name) {
  chosen = true;
  spokenState = "";
  streams.mark(name);
  history.replaceState(null, "", name ? `#watch=${encodeURIComponent(name)}` : location.pathname);
  draw();
  tell();
}

function onMessage(message) {
  if (message.type === "scores") onScores(message);
  else if (message.type === "alert") onAlert(message);
  else if (message.type === "stream") onStream(message);
  draw();
}

function onScores(message) {
  scores.add(message, seconds());
  if (!streams.update(message)) refresh();
  if (message.stream !== stage.name || message.state === spokenState) return;
  spokenState = message.state;
  speak(`${message.stream}: ${message.state}`);
}

function onAlert(message) {
  if (alerts.add(message)) speak(`Alert in ${message.stream}, face ${message.track}`);
}

function onStream({ stream: name, event, note }) {
  const known = streams.all.get(name);
  if (event === "lost" && known) Object.assign(known, { connected: false, note: note || "no signal" });
  if (event === "ended") streams.all.delete(name);
  if (name === stage.name && event === "ended") stage.rest();
  if (name === stage.name && event === "live") stage.hurry();
  if (name === stage.name && event !== "live") speak(`${name}: ${event === "lost" ? "no signal" : "ended"}`);
  refresh();
}

const refresh = calmly(async () => {
  try {
    const found = (await getJson("watch", "/api/streams")).streams;
    streams.replace(found);
    const names = new Set(found.map(({ name }) => name));
    scores.keep(names.add(stage.name));
    if (!chosen && found.length === 1 && !own.name) stage.watch(found[0].name);
    draw();
  } catch {
    // what is wrong is told by the events' connection, which fails for the same reason
  }
}, 1000);

async function opened() {
  relay("live", "Connected");
  refresh();
  stage.hurry();
  own.hurry();
  try {
    alerts.replace(await getJson("watch", "/api/alerts"));
    draw();
  } catch {
    // the next connection asks again
  }
}

function relay(phase, words) {
  byId("relay").dataset.phase = phase;
  say(byId("relay"), words);
}

for (const state of [...STATES, NO_SIGNAL]) {
  byId("legend").append(element("dt", { class: classOf(state) }, sign(state), state), element("dd", {}, MEANINGS[state]));
}
tokenForm();
head();
follow("/api/events", {
  opened,
  closed: (words) => {
    relay("waiting", `Not connected: ${words}`);
    streams.silence();
    draw();
  },
  message: onMessage,
});
access.addEventListener("given", refresh);
setInterval(() => document.hidden || refresh(), LIST_EVERY);
setInterval(() => document.hidden || draw(), 1000); // the curve moves on also while nothing comes
setInterval(tell, 5000);
addEventListener("pagehide", () => {
  own.close();
  stage.leave();
});
const asked = new URLSearchParams(location.hash.slice(1)).get("watch") ?? "";
if (/^[A-Za-z0-9._-]{1,64}$/.test(asked)) stage.watch(asked);
