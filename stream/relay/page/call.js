/** The page at `/call`: two people, each publishes to the relay and watches the other as the relay shows them. */

import { cameraMissing, changeCamera, deviceChoice, openCamera, stopAll } from "./camera.js";
import { byId, calmly, say } from "./dom.js";
import { follow } from "./events.js";
import { access, getJson } from "./http.js";
import { head } from "./nav.js";
import { SILENCE, OtherPerson } from "./other.js";
import { nameOf, personsOf, whyNot } from "./room.js";
import { PHASE, publish } from "./session.js";
import { showChip } from "./states.js";
import { tokenForm } from "./tokens.js";

const LIST_EVERY = 5000; // ms between two looks at who is there; events tell it at once
const EMPTY = "A call of two people: both see each other through the relay, with the verdict on the picture.";

const seconds = () => performance.now() / 1000;
const other = new OtherPerson();
let camera = null; // the own MediaStream
let sending = null; // the WHIP session
let heardOwn = 0; // s, when the relay last spoke of the own picture

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
  other.leave();
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
  heardOwn = seconds();
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
  if (!sending || others.includes(other.person)) return;
  other.leave();
  if (others.length) other.watch(others[0], nameOf(room(), others[0]));
  else say(byId("other-words"), `Waiting for somebody else to join ${room()}…`);
}, 500);

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
toggle("mute", () => camera?.getAudioTracks() ?? []);
toggle("unseen", () => camera?.getVideoTracks() ?? []);
tokenForm();
head();
frame("");
follow("/api/events", {
  opened: () => {
    relay("live", "Connected");
    sending?.hurry();
    other.hurry();
    lookAround();
  },
  closed: (words) => relay("waiting", `Not connected: ${words}`),
  message: ({ type, stream, event }) => {
    if (type !== "stream" || !stream.startsWith(`${room()}.`)) return;
    if (stream === other.name && event === "live") other.hurry();
    if (stream === other.name && event === "ended") other.gone();
    lookAround();
  },
});
access.addEventListener("given", lookAround);
setInterval(lookAround, LIST_EVERY);
setInterval(() => {
  if (seconds() - heardOwn > SILENCE) byId("own-verdict").hidden = true;
}, 1000);
addEventListener("pagehide", () => leave());
