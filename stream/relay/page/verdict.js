/** One check's result: the file beside what was found in it, heat, the score against time, facts. */

import { byId, drawing, element, say } from "./dom.js";
import { percent } from "./format.js";
import { request } from "./http.js";
import { Timeline } from "./timeline.js";
import { classOf, showChip } from "./states.js";

const FACTS = [
  ["SHA-256", ({ sha256 }) => sha256],
  ["Size", ({ bytes }) => `${bytes.toLocaleString("en")} bytes`],
  ["Kind", ({ kind }) => kind],
  ["Container", ({ media }) => media.container],
  ["Codec", ({ media }) => media.codec],
  ["Picture", ({ media }) => media.width && `${media.width} × ${media.height} px`],
  ["Length", ({ media, analysed }) => media.seconds && `${media.seconds.toFixed(1)} s, ${analysed.toFixed(1)} s analysed`],
  ["Tags", ({ media }) => media.tags.map(([name, value]) => `${name}: ${value}`).join("; ")],
  ["Content credentials (C2PA)", ({ provenance }) => `${provenance.status}. ${provenance.text}`],
  ["Detector", ({ model }) => model && `${model.name} ${model.version}, SHA-256 ${model.sha256}`],
  ["Thresholds", ({ model }) => model && `SUSPICIOUS from ${model.suspicious_on.toFixed(2)}, ALERT from ${model.alert_on.toFixed(2)}`],
];

export class Verdict {
  #check = null;
  #kept = []; // object URLs that are given back with the next result
  #layers = []; // SVG images of heat
  #timeline = new Timeline();

  constructor({ forget }) {
    byId("forget").addEventListener("click", () => forget(this.#check.id));
    byId("report").addEventListener("click", () => this.#download());
    byId("heat").addEventListener("click", () => this.#heat(byId("heat").ariaPressed !== "true"));
  }

  /** Show a check that is done. file: the File that was sent, null where it is not at hand any more. */
  async show(check, file) {
    for (const url of this.#kept.splice(0)) URL.revokeObjectURL(url);
    this.#check = check;
    const { report } = check;
    say(byId("result-heading"), check.name);
    showChip(byId("state"), report.verdict);
    say(byId("sentence"), report.sentence);
    this.#shares(report);
    say(byId("error"), report.error?.line ?? "");
    byId("notes").replaceChildren(...[...report.notes, ...report.media.hints].map((note) => element("li", {}, note)));
    const video = this.#source(report, file);
    this.#timeline.show(report, video);
    byId("faces").replaceChildren(...report.faces.map(faceRow));
    byId("facts").replaceChildren(...factRows(report));
    byId("result").hidden = false;
    await this.#found(check);
  }

  #shares({ fake, real }) {
    byId("shares").hidden = fake === null;
    if (fake === null) return;
    say(byId("real"), `real ${percent(real)}`);
    say(byId("fake"), `fake ${percent(fake)}`);
    byId("meter").value = fake;
  }

  /** The file itself, from the reader's own disk: the server has deleted it. Returns the video, if it is one. */
  #source(report, file) {
    const place = byId("source");
    if (file === null) {
      place.replaceChildren(element("p", {}, "The file was deleted here once it was checked."));
      return null;
    }
    const url = this.#url(file);
    const moving = report.kind === "video" || file.type.startsWith("video/");
    const shown = moving
      ? element("video", { src: url, controls: true, muted: true, playsinline: true })
      : element("img", { src: url, alt: `The file ${this.#check.name}` });
    shown.addEventListener("error", () => {
      place.replaceChildren(element("p", {}, "Your browser cannot show this file. The result does not depend on that."));
    });
    place.replaceChildren(shown);
    return moving ? shown : null;
  }

  /** The picture that was judged, or the gravest moment of each face, with boxes. */
  async #found(check) {
    const { report } = check;
    const name = check.pictures.includes("picture") ? "picture" : check.pictures.find((each) => each.startsWith("key-"));
    this.#layers = [];
    const hot = check.pictures.some((each) => each.startsWith("map-"));
    byId("heat").hidden = !(hot && name);
    byId("heat").ariaPressed = "false";
    byId("heat-words").hidden = true;
    if (!name) {
      byId("found").replaceChildren(element("p", {}, report.error?.line ?? "No face was found."));
      say(byId("found-words"), "");
      return;
    }
    const faces = name === "picture" ? report.faces : report.faces.filter(({ face }) => `key-${face}` === name);
    const words = name === "picture" ? "What was judged" : `Face ${faces[0].face} at ${faces[0].time.toFixed(1)} s, its gravest moment`;
    const { width, height } = report.media;
    const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${words}, with boxes` });
    svg.append(drawing("image", { href: await this.#picture(name), width, height, preserveAspectRatio: "none" }));
    for (const face of faces) {
      if (check.pictures.includes(`map-${face.face}`)) svg.append(await this.#layer(face, report));
    }
    svg.append(...faces.flatMap((face) => box(face, Math.max(width, height) / 220)));
    if (this.#check !== check) return; // another result is shown by now
    byId("found").replaceChildren(svg);
    say(byId("found-words"), words);
  }

  async #layer(face, report) {
    const [x1, y1, x2, y2] = face.box;
    const side = Math.max(x2 - x1, y2 - y1) * report.model.margin;
    const place = { x: (x1 + x2 - side) / 2, y: (y1 + y2 - side) / 2, width: side, height: side };
    const image = drawing("image", { href: await this.#picture(`map-${face.face}`), ...place, visibility: "hidden" });
    this.#layers.push(image);
    return image;
  }

  #heat(shown) {
    byId("heat").ariaPressed = String(shown);
    for (const layer of this.#layers) layer.setAttribute("visibility", shown ? "visible" : "hidden");
    byId("heat-words").hidden = !shown;
    say(byId("heat-words"), "Heat: where the detector sees more than it usually does at that place of a real face, from 1 standard "
      + "deviation (dark) to 4 (orange) above.");
  }

  async #picture(name) {
    const answer = await request("watch", `/api/v1/checks/${this.#check.id}/pictures/${name}`);
    return this.#url(await answer.blob());
  }

  async #download() {
    const answer = await request("watch", `/api/v1/checks/${this.#check.id}/report`);
    const url = this.#url(await answer.blob());
    const link = element("a", { href: url, download: `${this.#check.name}.report.html` });
    link.click();
  }

  #url(blob) {
    const url = URL.createObjectURL(blob);
    this.#kept.push(url);
    return url;
  }
}

function box({ face, box: [x1, y1, x2, y2], state }, pen) {
  const place = { x: x1, y: y1, width: x2 - x1, height: y2 - y1, "stroke-width": pen, class: "face-box" };
  const words = { x: x1, y: Math.max(y1 - pen, 6 * pen), "font-size": 6 * pen, "stroke-width": pen / 2, class: "face-words" };
  return [drawing("g", { class: classOf(state) }, drawing("rect", place), drawing("text", words, String(face)))];
}

function faceRow({ face, state, fake, peak, samples, size, reason }) {
  const chip = element("td", {});
  showChip(chip, state);
  const cells = [percent(fake), percent(peak), reason || String(samples.length), `${Math.round(size)} px`];
  return element("tr", {}, element("th", { scope: "row" }, String(face)), chip, ...cells.map((text) => element("td", {}, text)));
}

function factRows(report) {
  return FACTS.map(([name, value]) => [name, value(report)])
    .filter(([, value]) => value)
    .map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, String(value))));
}
