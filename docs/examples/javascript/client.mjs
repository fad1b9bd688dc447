// What the examples share: a request, following a job, reading its results. Node 20 and nothing else.

import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

const SERVICE = (process.env.ML_SERVICE_URL ?? "http://127.0.0.1:8000").replace(/\/+$/, "");
export const LIMIT = Number(process.env.LIMIT ?? 10); // titles per user
const ANSWER_MS = 30_000; // longest wait for an answer
const RESULTS_MS = 600_000; // longest wait for all results
const JOB_MS = 600_000; // longest wait for a job to end
const APPEARS_MS = 1000 * (process.env.APPEARS_SECONDS ?? 60); // longest wait for a worker to take a message
const LISTEN_MS = 5000; // before a published job is asked for

/** The service said no, or gave no answer (status 0). */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// region: call
/**
 * An open answer, to be read. Tried three times while nobody answers or the service is busy (503): no request of these
 * examples does harm when it is sent twice. Throws Refused.
 */
export async function send(method, path, { body, headers = {}, milliseconds = ANSWER_MS } = {}) {
  const request = { method, headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) };
  for (let tries = 1; ; tries++) {
    let answer;
    try {
      answer = await fetch(SERVICE + path, { ...request, signal: AbortSignal.timeout(milliseconds) });
    } catch (error) { // refused, cut off or too slow
      if (tries === 3) throw new Refused(0, `no answer from ${SERVICE}: ${error.cause?.message ?? error.message}`);
      await sleep(2000);
      continue;
    }
    if (answer.ok) return answer;
    if (answer.status !== 503 || tries === 3) throw new Refused(answer.status, await problem(answer));
    await sleep(retryAfter(answer));
  }
}

/** A whole answer: its headers and its JSON. Throws Refused. */
export async function call(method, path, options) {
  const answer = await send(method, path, options);
  try {
    return { headers: answer.headers, document: await answer.json() };
  } catch (error) {
    throw new Refused(0, `${SERVICE}${path} answered something else than JSON: ${error.message}`);
  }
}

/** What the service says is wrong (RFC 9457). */
async function problem(answer) {
  try {
    const { status, type, detail } = await answer.json();
    return `${status} ${type}: ${detail}`;
  } catch { // not the service's own words: a proxy's page, say
    return `${answer.status} ${answer.statusText}`;
  }
}

/** Milliseconds to wait before asking again. */
function retryAfter(answer) {
  const seconds = answer.headers.get("Retry-After") ?? "";
  return /^\d+$/.test(seconds) ? 1000 * seconds : 2000;
}
// end

// region: follow
/**
 * Ask for a job until it has ended, as often as the service wants to be asked. Throws Refused.
 *
 * listen: of a job that was put on the queue, and is unknown until a worker has taken the message. It waits for so
 * many milliseconds, or less when there is news.
 */
export async function follow(path, listen) {
  const started = Date.now();
  let said = "";
  await listen?.(LISTEN_MS);
  while (Date.now() - started < JOB_MS) {
    let answer;
    try {
      answer = await call("GET", path);
    } catch (error) {
      if (!listen || error.status !== 404) throw error;
      if (Date.now() - started > APPEARS_MS) {
        const again = `publish again with JOB_ID=${path.split("/").at(-1)}, which is safe`;
        throw new Refused(404, `not taken within ${APPEARS_MS / 1000} s; ${again}`);
      }
      await listen(2000);
      continue;
    }
    const job = answer.document;
    const now = `${job.state}: ${job.done} of ${job.total} users`;
    if (now !== said) console.error((said = now));
    if (!["accepted", "running"].includes(job.state)) return job;
    await (listen ?? sleep)(retryAfter(answer));
  }
  throw new Refused(0, `${path} has not ended within ${JOB_MS / 1000} s; it goes on, ask again later`);
}
// end

// region: results
/** Every user's page, one by one as they arrive. Throws Refused. */
export async function* results(job) {
  const headers = { Accept: "application/x-ndjson" };
  const answer = await send("GET", `/api/jobs/${job.job_id}/results`, { headers, milliseconds: RESULTS_MS });
  let count = 0;
  try {
    for await (const line of createInterface({ input: Readable.fromWeb(answer.body) })) {
      yield JSON.parse(line);
      count++;
    }
  } catch (error) {
    throw new Refused(0, `the results broke off after ${count} users: ${error.message}`);
  }
  if (count < job.done) throw new Refused(0, `the results broke off after ${count} of ${job.done} users`);
}
// end

/** Prints the best title of every user. Throws Refused, also when some users have none. */
export async function printResults(job) {
  if (job.problem) console.error(`${job.state}: ${job.problem.detail}`);
  for await (const page of results(job)) {
    console.log([page.user_id, ...page.recommendations.slice(0, 1).map(scored)].join("  "));
  }
  if (job.failed) throw new Refused(0, `${job.failed} of ${job.total} users failed`);
}

/** A title with its score; the catalogue may have no name for it. */
export const scored = ({ score, title }) => `${score.toFixed(4)}  ${title ?? "(no title)"}`;

/** Calls `main` with the user ids of the command line; `-` reads them from standard input, one to a line. */
export async function run(main, usage) {
  let users = process.argv.slice(2);
  if (users.length === 1 && users[0] === "-") users = (await text(process.stdin)).split(/\s+/).filter(Boolean);
  if (!users.length || users[0].startsWith("-")) {
    console.error(usage.trim());
    process.exit(2);
  }
  try {
    await main(users);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
