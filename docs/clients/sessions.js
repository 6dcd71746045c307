// A `fetch` for pages that hold tokens: see docs/clients.md. It has no dependencies; copy it and change it.
//
//   const sessions = new Sessions({ ended: (reason) => location.assign("/sign-in?because=" + reason) });
//   sessions.signedIn(await answer.json());           // what the sign-in answered
//   const answer = await sessions.fetch("/orders");   // `init.body` can be sent twice: text, FormData; no stream
export class Sessions {
  constructor({
    origin = location.origin,      // of the service: tokens go to no other
    key = "session",               // in localStorage, which all tabs share
    ended = () => {},              // once in each tab: the session is over, and why
    prove = async () => false,     // "fresh_auth_required", "second_factor_required": asks the user; true to go on
    timeout = 6_000,               // of a refresh, in ms: the service answers within 4 s, and its grace is 10 s
    attempts = 5,
    pause = (attempt, answer) =>   // in ms: what the service asks for, else longer each time; never all at once
      (Number(answer?.headers.get("Retry-After")) || 2 ** attempt / 2) * 1_000 * (1 + Math.random() / 2),
    locks = navigator.locks,       // there over https, and on localhost
    settle = 100,                  // in ms: so long a lock is kept after a refresh, for other tabs to see what was stored
  } = {}) {
    Object.assign(this, { origin, key, ended, prove, timeout, attempts, pause, locks, settle, queue: Promise.resolve() });
    addEventListener("storage", (event) => { // another tab has found out, or signed out
      const now = event.key === key && event.newValue && JSON.parse(event.newValue);
      if (now && !now.access_token) ended(now.ended);
    });
  }
  signedIn(pair) { this.#write(pair); }

  async fetch(path, init = {}) {
    const url = new URL(path, this.origin);
    if (url.origin !== new URL(this.origin).origin) throw new TypeError(`the token is not for ${url.origin}`);
    for (let attempt = 0, renewed = false, proved = false; ;) {
      const used = this.#read();
      const headers = new Headers(init.headers);
      if (used?.access_token) headers.set("Authorization", `Bearer ${used.access_token}`);
      const answer = await fetch(url, { ...init, headers });
      if (answer.status !== 401 && answer.status !== 503) return answer;
      const { code, reason } = await answer.clone().json().catch(() => ({}));
      const isOld = used?.access_token && (this.#read()?.access_token ?? used.access_token) !== used.access_token;
      if (code === "temporarily_unavailable" && IDEMPOTENT.test(init.method ?? "GET") && ++attempt < this.attempts) {
        await this.#wait(attempt, answer);
      } else if (answer.status === 401 && isOld && !renewed) {
        renewed = true; // there are newer ones
      } else if (code === "token_expired" && used?.refresh_token && !renewed) {
        renewed = true;
        const refused = await this.#alone(used);
        if (refused) return refused;
      } else if ((code === "fresh_auth_required" || code === "second_factor_required") && !proved) {
        proved = true;
        if (!(await this.prove(code))) return answer;
      } else {
        if (code === "session_ended" || code === "invalid_token") this.#forget(used, reason ?? code);
        return answer;
      }
    }
  }

  async signOut() {
    const [used, answer] = [this.#read(), await this.fetch("/auth/logout", { method: "POST" })];
    if (answer.ok) this.#forget(used, "logout");
    return answer;
  }

  // Nothing: go on with what is stored now. An answer: it did not work, and this is why.
  async #refresh(used) {
    for (let attempt = 1; ; attempt++) {
      const held = this.#read();
      if (held?.access_token !== used.access_token) return; // somebody else has refreshed, or signed in or out
      let answer, pair;
      try {
        const body = JSON.stringify({ refresh_token: held.refresh_token });
        const [headers, signal] = [{ "Content-Type": "application/json" }, AbortSignal.timeout(this.timeout)];
        answer = await fetch(new URL("/auth/refresh", this.origin), { method: "POST", headers, body, signal });
        if (answer.ok) {
          const sent = await answer.json(); // which may break off halfway
          if (!sent?.access_token) throw new TypeError("no tokens"); // somebody else has answered
          pair = sent;
        }
      } catch (lost) {
        if (attempt >= this.attempts) throw lost; // all is kept: the same token is good later too
      }
      // Stored before it is used, and not over what has been stored meanwhile.
      if (pair) return this.#read()?.refresh_token === held.refresh_token ? this.#write(pair) : undefined;
      if (answer?.status === 401) {
        const { code, reason } = await answer.clone().json().catch(() => ({}));
        this.#forget(held, reason ?? code);
      }
      if (answer && !answer.ok && (answer.status < 500 || attempt >= this.attempts)) return answer;
      await this.#wait(attempt, answer);
    }
  }
  // One refresh at a time: in this tab, and where the browser has locks in all.
  #alone(used) {
    const turn = () => {
      const isDone = this.#read()?.access_token !== used.access_token;
      if (isDone || !this.locks) return this.#refresh(used);
      return new Promise((done, failed) => this.locks.request(this.key, async () => {
        await this.#refresh(used).then(done, failed);
        await sleep(this.settle); // a lock may come to another tab before what was stored under it does
      }).catch(failed));
    };
    return (this.queue = this.queue.then(turn, turn));
  }
  #wait(attempt, answer) { return sleep(this.pause(attempt, answer)); }
  #read() { return JSON.parse(localStorage.getItem(this.key)); }
  #write(held) {
    const { access_token, refresh_token, ended } = held; // a sign-in answers more than that
    localStorage.setItem(this.key, JSON.stringify({ access_token, refresh_token, ended }));
  }
  #forget(used, reason) { // unless somebody has signed in since
    if (!used?.access_token || this.#read()?.access_token !== used.access_token) return;
    this.#write({ ended: reason });
    this.ended(reason);
  }
}
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const IDEMPOTENT = /^(GET|HEAD|OPTIONS|PUT|DELETE)$/i; // others may have been done before they failed
