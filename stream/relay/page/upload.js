/** Sending a file: XMLHttpRequest, as fetch does not tell how far an upload is. */

import { RELAY, RelayError, tokenOf } from "./http.js";

/** POST the file; `progress` is told the share that was sent. Resolves to the check; rejects with RelayError. */
export function upload(file, progress, signal) {
  const form = new FormData();
  form.append("file", file, file.name);
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest();
    asked.open("POST", new URL("/api/v1/checks", RELAY));
    const token = tokenOf("watch");
    if (token) asked.setRequestHeader("Authorization", `Bearer ${token}`);
    asked.responseType = "json";
    asked.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0);
    asked.onload = () => {
      if (asked.status === 202) resolve(asked.response);
      else reject(new RelayError(asked.status, asked.response?.error ?? `the server answered ${asked.status}`));
    };
    asked.onerror = () => reject(new RelayError(0, "the server does not answer, or broke the upload off"));
    asked.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => asked.abort());
    asked.send(form);
  });
}
