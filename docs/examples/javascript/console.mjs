// What the programs share: the service, their arguments, and how titles and jobs are printed.

import { text } from "node:stream/consumers";
import { Recommendations } from "./client.mjs";
import { Problem } from "./transport.mjs";

export const service = new Recommendations(process.env.ML_SERVICE_URL ?? "http://127.0.0.1:8000", {
  token: process.env.ML_SERVICE_TOKEN || undefined,
});
export const LIMIT = Number(process.env.LIMIT ?? 10); // titles per user, or of a page

/** The program ends with this sentence. */
export class Failed extends Error {}

/** A title with its score; the catalogue may have no name for it. */
export const scored = ({ score, title }) => `${score.toFixed(4)}  ${title ?? "(no title)"}`;

/** How far a job is. */
export const showProgress = (job) => console.error(`${job.state}: ${job.done} of ${job.total} users`);

/** The best title of every user, and why the others have none. Throws Problem, and Failed when there are such. */
export async function printResults(job) {
  if (job.problem) console.error(`${job.state}: ${job.problem.detail}`);
  for await (const page of service.results(job)) {
    console.log([page.user_id, ...page.recommendations.slice(0, 1).map(scored)].join("  "));
  }
  if (!job.failed) return;
  for await (const failure of service.failures(job.job_id)) console.error(`${failure.user_id}: ${failure.detail}`);
  throw new Failed(`${job.failed} of ${job.total} users failed`);
}

/** Calls `main` with the words of the command line; `-` reads them from standard input, one to a line. */
export async function run(main, usage) {
  let words = process.argv.slice(2);
  if (words.length === 1 && words[0] === "-") words = (await text(process.stdin)).split(/\s+/).filter(Boolean);
  if (!words.length || words[0].startsWith("-")) {
    console.error(usage.trim());
    process.exit(2);
  }
  try {
    await main(words);
  } catch (error) {
    if (!(error instanceof Problem || error instanceof Failed)) throw error;
    console.error(`error: ${error.message}${error.status === 401 ? "; set ML_SERVICE_TOKEN" : ""}`);
    process.exitCode = 1;
  }
}
