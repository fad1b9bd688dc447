// Submits many users as a job, follows it, and prints the best title of each.

import { randomUUID } from "node:crypto";
import { LIMIT, call, follow, printResults, run } from "./client.mjs";

const USAGE = `
usage: node job.mjs USER_ID...
       node job.mjs - < FILE      (one user id to a line)

ML_SERVICE_URL   the service (http://127.0.0.1:8000)
LIMIT            titles per user (10)
IDEMPOTENCY_KEY  the submission's name (a new one); submitted again under the same name, it is the same job
`;

// region: job
/** Any number of users, up to 100,000. */
async function job(users) {
  const key = process.env.IDEMPOTENCY_KEY || randomUUID();
  const headers = { Prefer: "respond-async", "Idempotency-Key": key };
  const body = { user_ids: users, limit: LIMIT };
  const accepted = await call("POST", "/api/recommendations/batch", { body, headers });
  console.error(`job ${accepted.document.job_id}, submitted as ${key}`);
  await printResults(await follow(accepted.headers.get("Location")));
}
// end

await run(job, USAGE);
