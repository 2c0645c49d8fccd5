/** A check's scores against time, and the slider that seeks the video. */

import { byId, drawing, say } from "./dom.js";
import { percent } from "./format.js";

const LEFT = 44; // px for the words of the axis
const [TOP, FOOT] = [10, 22];
const GAP = 1.5; // s without a score that interrupt a curve

export class Timeline {
  #report = null;
  #video = null;

  constructor() {
    const [seek, curve] = [byId("seek"), byId("curve")];
    seek.addEventListener("input", () => this.#go(Number(seek.value)));
    curve.addEventListener("click", ({ offsetX }) => {
      const share = (offsetX - LEFT) / (curve.clientWidth - LEFT - 8);
      this.#go(Math.min(Math.max(share, 0), 1) * this.#end());
    });
    new ResizeObserver(() => this.#draw()).observe(curve);
  }

  /** Show a report's scores. video: the element to seek, null where there is none. */
  show(report, video) {
    this.#report = report.kind !== "picture" && report.faces.some(({ samples }) => samples.length) ? report : null;
    this.#video = video;
    byId("timeline").hidden = this.#report === null;
    if (this.#report === null) return;
    const seek = byId("seek");
    seek.max = this.#end();
    video?.addEventListener("timeupdate", () => this.#video === video && this.#mark(video.currentTime));
    const gravest = this.#report.faces.reduce((a, b) => ((b.peak ?? -1) > (a.peak ?? -1) ? b : a));
    this.#go(gravest.time);
  }

  #end() {
    const times = this.#report.faces.flatMap(({ samples }) => samples.map(([time]) => time));
    return Math.max(this.#report.analysed, ...times, 0.1);
  }

  #go(time) {
    if (this.#video) this.#video.currentTime = time;
    this.#mark(time);
  }

  #mark(time) {
    byId("seek").value = time;
    const near = this.#report.faces
      .map(({ face, samples }) => [face, samples.findLast(([at]) => at <= time + 0.001)])
      .filter(([, sample]) => sample && time - sample[0] < GAP)
      .map(([face, [, score]]) => `face ${face}: ${percent(score)} fake`);
    say(byId("seek-words"), `${time.toFixed(1)} s${near.length ? `, ${near.join(", ")}` : ""}`);
    this.#draw();
  }

  #draw() {
    const svg = byId("curve");
    const { clientWidth: width, clientHeight: height } = svg;
    if (!this.#report || !width || !height) return;
    const end = this.#end();
    const x = (time) => LEFT + (time / end) * (width - LEFT - 8);
    const y = (score) => height - FOOT - score * (height - FOOT - TOP);
    const { model, faces } = this.#report;
    svg.replaceChildren(
      ...axes(x, y, end, height),
      ...[["suspicious", model.suspicious_on], ["alert", model.alert_on]].map(([state, score]) =>
        drawing("path", { d: `M${x(0)} ${y(score)}H${x(end)}`, class: `threshold state-${state}` })),
      ...faces.slice(0, 3).map(({ face, samples }, index) =>
        drawing("path", { d: path(samples, x, y), class: `face-line face-${index + 1}`, "data-face": face })),
      drawing("path", { d: `M${x(Number(byId("seek").value))} ${TOP}V${height - FOOT}`, class: "cursor" }),
    );
    svg.setAttribute("aria-label", faces.map(({ face, fake, peak }) =>
      `Face ${face}: ${percent(fake)} fake in the mean, ${percent(peak)} at most`).join("; "));
  }
}

function axes(x, y, end, height) {
  const lines = [0, 0.5, 1].flatMap((score) => [
    drawing("path", { d: `M${x(0)} ${y(score)}H${x(end)}`, class: "grid" }),
    drawing("text", { x: x(0) - 8, y: y(score) + 4, class: "end" }, percent(score)),
  ]);
  const step = Math.max(1, Math.ceil(end / 8));
  const words = Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
  return [...lines, ...words.map((time) => drawing("text", { x: x(time), y: height - 6, class: "middle" }, `${time} s`))];
}

function path(samples, x, y) {
  return samples.map(([time, score], index) => {
    const joined = index && time - samples[index - 1][0] <= GAP;
    return `${joined ? "L" : "M"}${x(time).toFixed(1)} ${y(score).toFixed(1)}`;
  }).join("");
}
