/** The page at `/call`: two people, each publishes to the relay and watches the other as the relay shows them. */

import { cameraMissing, changeCamera, deviceChoice, openCamera, stopAll } from "./camera.js";
import { Curve } from "./curve.js";
import { byId, calmly, say, speak } from "./dom.js";
import { follow } from "./events.js";
import { duration, rate } from "./format.js";
import { access, getJson } from "./http.js";
import { nameOf, personsOf, whyNot } from "./room.js";
import { Scores } from "./scores.js";
import { PHASE, publish, watch } from "./session.js";
import { wordsOf } from "./stage.js";
import { classOf, showChip } from "./states.js";
import { tokenForm } from "./tokens.js";

const LIST_EVERY = 5000; // ms between two looks at who is there; events tell it at once
const EMPTY = "A call of two people: both see each other through the relay, with the verdict on the picture.";

const seconds = () => performance.now() / 1000;
const scores = new Scores();
const curve = new Curve(byId("curve"), byId("curve-table"));
const media = new MediaStream();
let camera = null; // the own MediaStream
let sending = null; // the WHIP session
let other = null; // {person, name, session} that is being watched
let spokenState = "";

const room = () => byId("room").value;
const person = () => byId("person").value;

async function join() {
  byId("join").disabled = true;
  say(byId("own-words"), "");
  try {
    const names = (await getJson("watch", "/api/streams")).streams.map(({ name }) => name);
    const why = whyNot(room(), person(), names);
    if (why) throw new Error(why);
    camera = await openCamera({ camera: byId("camera").value, microphone: byId("microphone").value });
  } catch (error) {
    frame(error.wantsToken ? "Give the token above, then press Join again." : error.message);
    return;
  }
  show();
  refill();
  sending = publish(nameOf(room(), person()), camera, { change: onSending, message: onOwn });
  history.replaceState(null, "", `/call?room=${encodeURIComponent(room())}`);
  sessionStorage.setItem("facewitness.person", person());
  frame("");
  byId("leave").focus();
  lookAround();
}

function show() {
  byId("preview").srcObject = camera;
  const [track] = camera.getVideoTracks();
  track.enabled = byId("unseen").getAttribute("aria-pressed") !== "true";
  track.addEventListener("ended", () => leave("The camera was taken away."));
}

function leave(words = "") {
  unwatch();
  sending?.close();
  sending = null;
  stopAll(camera);
  camera = null;
  byId("preview").srcObject = null;
  for (const id of ["mute", "unseen"]) byId(id).setAttribute("aria-pressed", "false");
  frame(words);
}

function onSending(phase, words) {
  if (phase === PHASE.FAILED) leave(`The relay does not take your stream: ${words}.`);
  else say(byId("own-words"), phase === PHASE.WAITING ? `Not sent just now, trying again: ${words}.` : "");
}

/** The relay's word on the own picture, by the data channel of the WHIP session. */
function onOwn(message) {
  if (message.type !== "scores" || !sending) return;
  byId("own-verdict").hidden = false;
  showChip(byId("own-state"), message.state);
}

/** Watch whoever else is in the room; wait for them when they are gone. */
const lookAround = calmly(async () => {
  if (!sending) return;
  let names = [];
  try {
    names = (await getJson("watch", "/api/streams")).streams.map(({ name }) => name);
  } catch {
    return; // the next look tells
  }
  const others = personsOf(room(), names).filter((name) => name !== person());
  if (!sending || (other && others.includes(other.person))) return;
  unwatch();
  if (others.length) watchPerson(others[0]);
  else say(byId("other-words"), `Waiting for somebody else to join ${room()}…`);
}, 500);

function watchPerson(who) {
  const name = nameOf(room(), who);
  const change = (phase, words) => onWatching(who, phase, words);
  other = { person: who, name, session: null };
  other.session = watch(name, "annotated", media, { change, message: onOther });
  say(byId("other-heading"), who);
  byId("other-screen").className = "screen";
  drawOther();
}

function unwatch() {
  other?.session.close();
  other = null;
  spokenState = "";
  byId("other").srcObject = null;
  say(byId("other-heading"), "The other person");
  byId("other-screen").className = "screen idle";
  for (const id of ["other-verdict", "figure", "hear"]) byId(id).hidden = true;
  byId("other-words").hidden = false;
}

function onWatching(who, phase, words) {
  const video = byId("other");
  if (phase === PHASE.LIVE) play(video);
  const told = {
    [PHASE.CONNECTING]: `Connecting to ${who}…`,
    [PHASE.WAITING]: `Waiting for ${who}: ${words}.`,
    [PHASE.FAILED]: `${who} cannot be watched: ${words}.`,
  }[phase];
  if (told) say(byId("other-words"), told);
  byId("other-words").hidden = phase === PHASE.LIVE;
  video.classList.toggle("stale", phase !== PHASE.LIVE);
}

/** Browsers that want a gesture before they make a sound get a button for it. */
async function play(video) {
  video.srcObject = media;
  video.muted = false;
  try {
    await video.play();
  } catch {
    video.muted = true;
    video.play().catch(() => {});
    byId("hear").hidden = false;
  }
}

/** The relay's word on the other, by the data channel of the WHEP session. */
function onOther(message) {
  if (message.type !== "scores" || message.stream !== other?.name) return;
  scores.add(message, seconds());
  byId("other-verdict").hidden = byId("figure").hidden = false;
  showChip(byId("other-state"), message.state);
  byId("other-screen").className = `screen ${classOf(message.state)}`;
  say(byId("other-facts"), `analysed ${rate(message.fps)} · age ${duration(message.age)}`);
  drawOther();
  if (message.state === spokenState) return;
  spokenState = message.state;
  speak(`${other.person}: ${message.state}`);
}

const drawOther = calmly(() => {
  if (!other) return;
  const samples = scores.of(other.name);
  say(byId("other-score"), samples.length ? wordsOf(samples.at(-1)) : "");
  curve.draw(samples, seconds());
}, 200);

function frame(words) {
  const on = sending !== null;
  for (const id of ["preview", "leave", "unseen", "invitation"]) byId(id).hidden = !on;
  byId("mute").hidden = !camera?.getAudioTracks().length;
  byId("join").hidden = on;
  byId("join").disabled = Boolean(cameraMissing());
  if (!on) byId("own-verdict").hidden = true;
  byId("entry").hidden = byId("sound").hidden = on;
  byId("link").href = `/call?room=${encodeURIComponent(room())}`;
  say(byId("link"), byId("link").href);
  if (!on) say(byId("other-words"), EMPTY);
  say(byId("own-words"), words || cameraMissing());
}

/** A button that turns the own tracks of one kind off and on again. */
function toggle(id, tracks) {
  byId(id).addEventListener("click", () => {
    const off = byId(id).getAttribute("aria-pressed") !== "true";
    byId(id).setAttribute("aria-pressed", String(off));
    for (const track of tracks()) track.enabled = !off;
  });
}

function relay(phase, words) {
  byId("relay").dataset.phase = phase;
  say(byId("relay"), words);
}

const refill = deviceChoice(byId("camera"), byId("microphone"));
byId("room").value = new URLSearchParams(location.search).get("room") ?? "";
byId("person").value = sessionStorage.getItem("facewitness.person") ?? "";
byId("own").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!sending && !byId("join").disabled) join();
});
byId("leave").addEventListener("click", () => leave());
byId("camera").addEventListener("change", async () => {
  if (!sending) return;
  try {
    await changeCamera(camera, sending.connection, byId("camera").value);
    show();
  } catch (error) {
    say(byId("own-words"), error.message);
  }
});
byId("hear").addEventListener("click", () => {
  byId("other").muted = false;
  byId("hear").hidden = true;
});
toggle("mute", () => camera?.getAudioTracks() ?? []);
toggle("unseen", () => camera?.getVideoTracks() ?? []);
tokenForm(byId("token"));
frame("");
follow("/api/events", {
  opened: () => {
    relay("live", "Connected");
    sending?.hurry();
    other?.session.hurry();
    lookAround();
  },
  closed: (words) => relay("waiting", `Not connected: ${words}`),
  message: ({ type, stream, event }) => {
    if (type !== "stream" || !stream.startsWith(`${room()}.`)) return;
    if (event === "live" && stream === other?.name) other.session.hurry();
    if (event === "ended" && stream === other?.name) {
      other.session.rest();
      unwatch();
    }
    lookAround();
  },
});
access.addEventListener("given", lookAround);
setInterval(lookAround, LIST_EVERY);
setInterval(() => drawOther(), 1000);
setInterval(() => other && curve.tell(scores.of(other.name), seconds()), 5000);
addEventListener("pagehide", () => leave());
