// Requests that are sent again where that may help, and problems as one error. Node 20 and nothing else.

import { setTimeout as sleep } from "node:timers/promises";

const BUSY = [429, 503]; // the request was not done, and may be sent again
const FIRST_PAUSE_MS = 500; // doubled each time
const LONGEST_PAUSE_MS = 60_000; // who is told to wait for longer should do something else meanwhile

/** @typedef {{field: string, message: string, allowed?: string}} FieldProblem */

/** The service said no (RFC 9457), or gave no answer: then the status is 0. Decide by `type`. */
export class Problem extends Error {
  /**
   * @param {string} detail
   * @param {{status?: number, type?: string, fields?: FieldProblem[], requestId?: string}} more requestId: what the
   *   service's log calls the request
   */
  constructor(detail, { status = 0, type = "about:blank", fields = [], requestId } = {}) {
    super(status ? `${status} ${type}: ${detail}` : detail);
    Object.assign(this, { name: "Problem", detail, status, type, fields, requestId });
  }
}

// region: send
/**
 * Sends requests to one address; again, after longer and longer pauses, while nobody answers or the service is busy. So
 * it is for requests that may be done twice: those that only ask, and those with an Idempotency-Key.
 */
export class Transport {
  #token; // not shown where the object is

  constructor(baseUrl, { token, milliseconds, retries }) {
    this.baseUrl = baseUrl.replace(/\/+$/, "");
    this.#token = token;
    this.milliseconds = milliseconds;
    this.retries = retries;
  }

  /** A whole answer: its headers and its JSON. Throws Problem. */
  call(method, path, { body, headers = {} } = {}) {
    return this.#send({ method, path, body, headers, milliseconds: this.milliseconds, read: whole });
  }

  /** An open answer to a GET; what goes wrong while it is read is the reader's concern. Throws Problem. */
  open(path, { headers, milliseconds }) {
    return this.#send({ method: "GET", path, headers, milliseconds, read: (answer) => answer });
  }

  async #send({ method, path, body, headers, milliseconds, read }) {
    headers = { "Content-Type": "application/json", ...headers };
    if (this.#token !== undefined) {
      if (!/^[\x21-\x7e]+$/.test(this.#token)) { // what fetch says of such a header would show it
        throw new Problem("the token has characters that no token has");
      }
      headers.Authorization = `Bearer ${this.#token}`; // fetch takes it away where it is sent on to another server
    }
    const request = { method, headers, body: JSON.stringify(body) };
    for (let tries = 0; ; tries++) {
      let problem, told;
      try {
        const answer = await fetch(this.baseUrl + path, { ...request, signal: AbortSignal.timeout(milliseconds) });
        if (answer.ok) return await read(answer);
        [problem, told] = [await problemOf(answer), retryAfter(answer.headers)];
        if (!BUSY.includes(problem.status)) throw problem;
      } catch (error) {
        if (error instanceof Problem) throw error;
        problem = new Problem(`no answer from ${this.baseUrl}: ${error.cause?.message ?? error.message}`);
      }
      const pause = (told ?? 0) + Math.random() * FIRST_PAUSE_MS * 2 ** tries; // by chance, lest all come back at once
      if (tries === this.retries || pause > LONGEST_PAUSE_MS) throw problem;
      await sleep(pause);
    }
  }
}

async function whole(answer) {
  const text = await answer.text();
  try {
    return { headers: answer.headers, document: JSON.parse(text) };
  } catch (error) {
    throw new Problem(`${answer.url} answered something else than JSON: ${error.message}`);
  }
}

/** Milliseconds to wait before asking again, where the service says so. */
export function retryAfter(headers) {
  const seconds = headers.get("Retry-After") ?? "";
  return /^\d+$/.test(seconds) ? 1000 * Number(seconds) : undefined;
}
// end

async function problemOf(answer) {
  const text = await answer.text();
  const more = { status: answer.status, requestId: answer.headers.get("X-Request-Id") ?? undefined };
  try {
    const { type, detail, errors: fields } = JSON.parse(text);
    return new Problem(detail, { ...more, type, fields });
  } catch { // not the service's own words: a proxy's page, say
    return new Problem(answer.statusText, more);
  }
}
