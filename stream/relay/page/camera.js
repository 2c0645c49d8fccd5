/** Camera and microphone: the choice of devices, and why one cannot be had, in words. */

import { element } from "./dom.js";

const WORDS = {
  NotAllowedError: "The browser may not use the camera. Allow it beside the address, then press Join again.",
  NotFoundError: "No camera was found. Plug one in, then press Join again.",
  NotReadableError: "The camera gives no picture. Another program may be using it.",
  OverconstrainedError: "The camera that was chosen is gone. Choose another one.",
  AbortError: "The camera stopped. Press Join again.",
  SecurityError: "The browser forbids cameras on this page.",
};
const INSECURE =
  "Browsers give cameras to secure pages only: open this page by https, or as localhost on the relay's own machine.";

/** Why there can be no camera at all on this page; "" if there can. */
export const cameraMissing = () => (navigator.mediaDevices ? "" : INSECURE);

/** Open camera and microphone: device ids, "" for the default one, "none" for no microphone. Throws words. */
export async function openCamera({ camera, microphone }) {
  if (cameraMissing()) throw new Error(INSECURE);
  const exact = (id) => (id ? { deviceId: { exact: id } } : {});
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30, max: 30 }, ...exact(camera) };
  const audio = microphone === "none" ? false : { echoCancellation: true, ...exact(microphone) };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio });
  } catch (error) {
    throw new Error(WORDS[error.name] ?? `The camera cannot be opened: ${error.message}`);
  }
}

/** Another camera into `stream` and the session that sends it. Throws words; then nothing has changed. */
export async function changeCamera(stream, connection, camera) {
  const fresh = await openCamera({ camera, microphone: "none" });
  const [old] = stream.getVideoTracks();
  const [track] = fresh.getVideoTracks();
  await connection
    ?.getSenders()
    .find((sender) => sender.track === old)
    ?.replaceTrack(track);
  stream.removeTrack(old);
  old.stop();
  stream.addTrack(track);
}

/** Keep two select elements up to date with the devices; names are known once permission was given. */
export function deviceChoice(cameras, microphones) {
  const fill = async () => {
    const found = await navigator.mediaDevices.enumerateDevices();
    put(cameras, found.filter(({ kind }) => kind === "videoinput"), "Camera");
    put(microphones, found.filter(({ kind }) => kind === "audioinput"), "Microphone");
  };
  if (cameraMissing()) return async () => {};
  navigator.mediaDevices.addEventListener("devicechange", fill);
  fill();
  return fill;
}

/** Devices follow the options that the page brings (marked data-fixed); the choice is kept if it is still there. */
function put(select, devices, word) {
  const chosen = select.value;
  const known = devices.filter(({ deviceId }) => deviceId && deviceId !== "default");
  for (const option of [...select.options]) if (!("fixed" in option.dataset)) option.remove();
  for (const [i, { deviceId, label }] of known.entries()) {
    select.append(element("option", { value: deviceId }, label || `${word} ${i + 1}`));
  }
  select.value = [...select.options].some(({ value }) => value === chosen) ? chosen : select.options[0].value;
}

/** Stop a stream's tracks: the camera's light goes out. */
export const stopAll = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** A name nobody else is likely to have, the same until the tab is closed. */
export function ownName(prefix) {
  const kept = sessionStorage.getItem("facewitness.name");
  if (kept) return kept;
  const digits = crypto.getRandomValues(new Uint16Array(1))[0].toString(16).padStart(4, "0");
  return `${prefix}-${digits}`;
}

/** Remember the name that was used. */
export const keepName = (name) => sessionStorage.setItem("facewitness.name", name);
