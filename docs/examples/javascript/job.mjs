// Submits many users as a job, follows it, and prints the best title of each.

import { randomUUID } from "node:crypto";
import { LIMIT, printResults, run, service, showProgress } from "./console.mjs";

const USAGE = `
usage: node job.mjs USER_ID...
       node job.mjs - < FILE      (one user id to a line)

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles per user (10)
IDEMPOTENCY_KEY   the submission's name (a new one); submitted again under the same name, it is the same job
`;

// region: job
/** Any number of users, up to 100,000. */
async function job(users) {
  const key = process.env.IDEMPOTENCY_KEY || randomUUID();
  const submitted = await service.submit(users, { key, limit: LIMIT, explain: false });
  console.error(`job ${submitted.job_id}, submitted as ${key}`);
  await printResults(await service.follow(submitted.job_id, { progress: showProgress }));
}
// end

await run(job, USAGE);
