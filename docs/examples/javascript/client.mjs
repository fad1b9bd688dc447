// The recommendation service as one class. Beside it, only transport.mjs and Node 20.

import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Problem, Transport, retryAfter } from "./transport.mjs";

const POLL_MS = 2000; // where the service does not say how often to ask
const RESULTS_MS = 600_000; // longest wait for all results
const BATCH = "/api/recommendations/batch";
const FRESH = { "Cache-Control": "no-cache" };
const NDJSON = { Accept: "application/x-ndjson" };

/**
 * What may be asked of every list. Pages also take limit, offset and cursor; those of users include_seen; what is
 * popular window_days and half_life_days; a preview genres, liked and disliked; a job deadline, reply_to, callback_url.
 * @typedef {{genres_any?: string[], genres_all?: string[], genres_none?: string[], media_type?: string[],
 *   year_from?: number, year_to?: number, exclude?: string[], diversity?: number, max_per_genre?: number,
 *   explore?: number, seed?: number, explain?: boolean, fields?: string[], limit?: number, [more: string]: unknown
 * }} Options
 *
 * What of the user's history a title is owed to; with history_rest the shares add up to collaborative_score.
 * @typedef {{media_id: string, title: string|null, interaction: "LIKE"|"WATCH", share: number}} Cause
 * @typedef {{text: string, genres: string[], history: Cause[], history_rest: number}} Reason
 * @typedef {{media_id: string, title: string|null, description: string|null, release_year: number|null,
 *   media_type: string|null, cover_url: string|null, genres: string[], score: number, content_score: number,
 *   collaborative_score: number, source: string, reason?: Reason}} Recommendation
 * @typedef {{user_id?: string, media_id?: string, recommendations: Recommendation[], count: number, limit: number,
 *   offset: number, next_cursor: string|null, exhausted: boolean, strategy: string, model_version: string|null,
 *   cached: boolean, degraded: boolean}} Page
 *
 * @typedef {{type: string, title: string, detail: string}} JobProblem
 * @typedef {{job_id: string, state: string, total: number, done: number, failed: number, limit: number|null,
 *   created_at: string, started_at: string|null, finished_at: string|null, deadline: string, expires_at: string|null,
 *   problem: JobProblem|null}} Job
 * @typedef {{user_id: string, detail: string}} Failure
 */

/**
 * The service at one address. Every method throws Problem; every request is one that may be sent twice, and is, while
 * nobody answers or the service is busy.
 */
export class Recommendations {
  /**
   * @param {{token?: string, milliseconds?: number, retries?: number}} more a token or an API key, where the service
   *   asks who you are; longest wait for an answer, and how often to ask again
   */
  constructor(baseUrl, { token, milliseconds = 30_000, retries = 3 } = {}) {
    this.transport = new Transport(baseUrl, { token, milliseconds, retries });
  }

  // Lists. A POST asks for the same as a GET, and never gets too long for an address.

  /**
   * A page of a user's titles. fresh: made anew, so that it knows what the user did a moment ago.
   * @param {Options & {fresh?: boolean}} options @returns {Promise<Page>}
   */
  recommend(user, { fresh = false, ...options } = {}) {
    return this.#post(`/api/recommendations/${encodeURIComponent(user)}`, options, fresh ? FRESH : {});
  }

  /** What somebody would get who prefers these genres, and likes and dislikes these titles.
   * @param {Options} options @returns {Promise<Page>} */
  preview(options = {}) {
    return this.#post("/api/recommendations/preview", options);
  }

  /** Titles like this one. @param {Options} options @returns {Promise<Page>} */
  similar(title, options = {}) {
    return this.#post(`/api/titles/${encodeURIComponent(title)}/similar`, options);
  }

  /** What is popular: always, or lately. @param {Options} options @returns {Promise<Page>} */
  popular(options = {}) {
    return this.#post("/api/titles/popular", options);
  }

  /** The first page of each of a few users. @param {Options} options @returns {Promise<Record<string, Page>>} */
  async batch(users, options = {}) {
    const key = { "Idempotency-Key": randomUUID() }; // should it become a job, it becomes one
    const { results, job_id: job } = await this.#post(BATCH, { user_ids: users, ...options }, key);
    if (results) return results;
    await this.cancel(job);
    throw new Problem("too many users to answer at once; submit a job", { status: 202 });
  }

  // region: jobs
  // Jobs.

  /**
   * Many users as a job. key: the submission's name; the same key and request find the same job.
   * @param {Options & {key?: string}} options @returns {Promise<Job>}
   */
  submit(users, { key = randomUUID(), ...options } = {}) {
    const headers = { Prefer: "respond-async", "Idempotency-Key": key };
    return this.#post(BATCH, { user_ids: users, ...options }, headers);
  }

  /** A job as it stands. @returns {Promise<Job>} */
  async job(id) {
    return (await this.#get(`/api/jobs/${encodeURIComponent(id)}`)).document;
  }

  /** End a job; one that has ended stays as it is. @returns {Promise<Job>} */
  cancel(id) {
    return this.#post(`/api/jobs/${encodeURIComponent(id)}/cancel`);
  }

  /**
   * Ask for a job until it has ended, as often as the service wants to be asked. progress is told of each change;
   * wait waits for so many milliseconds, or less when there is news; the job goes on after `milliseconds`.
   * @param {{progress?: (job: Job) => unknown, wait?: (ms: number) => Promise<unknown>, milliseconds?: number}} more
   * @returns {Promise<Job>}
   */
  async follow(id, { progress = () => {}, wait = sleep, milliseconds = 600_000 } = {}) {
    const deadline = Date.now() + milliseconds;
    for (let told = ""; ; ) {
      const { headers, document: job } = await this.#get(`/api/jobs/${encodeURIComponent(id)}`);
      const news = JSON.stringify(job);
      if (news !== told) progress(job);
      if (!["accepted", "running"].includes(job.state)) return job;
      if (Date.now() > deadline) {
        throw new Problem(`job ${id} has not ended within ${milliseconds / 1000} s; it goes on, ask again later`);
      }
      told = news;
      await wait(retryAfter(headers) ?? POLL_MS);
    }
  }

  /**
   * Every user's page of a job that has ended, one by one as they arrive.
   * @param {Job} job @returns {AsyncGenerator<Page>}
   */
  async *results(job) {
    const path = `/api/jobs/${job.job_id}/results`;
    const answer = await this.transport.open(path, { headers: NDJSON, milliseconds: RESULTS_MS });
    let read = 0;
    try {
      for await (const line of createInterface({ input: Readable.fromWeb(answer.body) })) {
        yield JSON.parse(line);
        read++;
      }
    } catch (error) {
      throw new Problem(`the results broke off after ${read} users: ${error.message}`);
    }
    if (read < job.done) throw new Problem(`the results broke off after ${read} of ${job.done} users`);
  }

  /** The users whom a job could not do, and why. @returns {AsyncGenerator<Failure>} */
  async *failures(id) {
    const path = `/api/jobs/${encodeURIComponent(id)}/failures?limit=1000`;
    for (let cursor = ""; cursor !== null; ) {
      const { document } = await this.#get(cursor ? `${path}&cursor=${cursor}` : path);
      yield* document.failures;
      cursor = document.next_cursor;
    }
  }
  // end

  #get(path) {
    return this.transport.call("GET", path);
  }

  async #post(path, body, headers) {
    return (await this.transport.call("POST", path, { body, headers })).document;
  }
}

// region: eachTitle
/**
 * A whole list page by page, no title twice, whatever changes meanwhile. pageAt asks for the page at a cursor:
 * (cursor) => service.popular({ cursor, limit: 50 }). A page that is `degraded` may be the last one too early: the
 * service could not keep the list.
 * @param {(cursor: string) => Promise<Page>} pageAt @returns {AsyncGenerator<Recommendation>}
 */
export async function* eachTitle(pageAt) {
  for (let cursor = "*"; cursor !== null; ) {
    const page = await pageAt(cursor);
    yield* page.recommendations;
    cursor = page.next_cursor;
  }
}
// end
