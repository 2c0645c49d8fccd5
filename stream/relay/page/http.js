/** Requests to the relay: the token of each role goes along, errors become one line of words. */

/** The relay that this module came from: pages of other sites may import it, where the relay allows them. */
export const RELAY = new URL(import.meta.url).origin;

const KEY = "facewitness.token.";
const ROLES = ["publish", "watch", "admin"];

/** Says "wanted" {role, refused}, "given" {role} and "accepted" {role}; the token form listens. */
export const access = new EventTarget();

/** An answer that is no success; status 0: no answer came. */
export class RelayError extends Error {
  constructor(status, words, retryAfter = 0) {
    super(words);
    this.status = status;
    this.retryAfter = retryAfter; // s
  }

  /** Whether a token is missing or wrong. */
  get wantsToken() {
    return this.status === 401;
  }
}

const tell = (name, detail) => access.dispatchEvent(new CustomEvent(name, { detail }));

/** The token for a role; who gave only one gave it for all. */
export function tokenOf(role) {
  const own = sessionStorage.getItem(KEY + role);
  return own ?? ROLES.map((other) => sessionStorage.getItem(KEY + other)).find((token) => token) ?? "";
}

/** Keep a token until the tab is closed, and tell who waits for it. */
export function giveToken(role, token) {
  sessionStorage.setItem(KEY + role, token);
  tell("given", { role });
}

/** Resolves once a token for `role` is given, or `signal` aborts. */
export function tokenGiven(role, signal) {
  return new Promise((resolve) => {
    const done = (event) => {
      if (event.type === "given" && event.detail.role !== role) return;
      access.removeEventListener("given", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    access.addEventListener("given", done);
    signal?.addEventListener("abort", done);
  });
}

/** fetch() with the role's token. Throws RelayError for anything but a 2xx; lets AbortError through. */
export async function request(role, path, init = {}) {
  const token = tokenOf(role);
  const headers = new Headers(init.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let response;
  try {
    response = await fetch(new URL(path, RELAY), { ...init, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RelayError(0, "the relay does not answer");
  }
  if (response.ok) {
    tell("accepted", { role });
    return response;
  }
  const { error, login } = await bodyOf(response);
  const words = typeof error === "string" && error ? error : `the relay answered ${response.status}`;
  const failed = new RelayError(response.status, words, retryAfter(response));
  if (failed.wantsToken && login && !token) location.assign(`${login}?next=${encodeURIComponent(location.pathname)}`);
  else if (failed.wantsToken) tell("wanted", { role, refused: token !== "" });
  throw failed;
}

/** GET `path` as JSON. */
export async function getJson(role, path) {
  return (await request(role, path, { headers: { Accept: "application/json" } })).json();
}

async function bodyOf(response) {
  try {
    return (await response.json()) ?? {};
  } catch {
    return {}; // no JSON: the number has to do
  }
}

function retryAfter(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 60) : 0;
}
