// Prints the titles of a few users, answered at once.

import { LIMIT, Refused, call, run, scored } from "./client.mjs";

const USAGE = `
usage: node batch.mjs USER_ID...

ML_SERVICE_URL  the service (http://127.0.0.1:8000)
LIMIT           titles per user (10)
`;

// region: batch
/** Up to 50 users in one request; for more the service answers with a job. */
async function batch(users) {
  const body = { user_ids: users, limit: LIMIT };
  const { document: answer } = await call("POST", "/api/recommendations/batch", { body });
  if (!answer.results) throw new Refused(202, "too many users to answer at once; use job.mjs");
  for (const [user, page] of Object.entries(answer.results)) {
    console.log(`${user}  ${page.strategy}`);
    for (const title of page.recommendations) console.log(scored(title));
  }
}
// end

await run(batch, USAGE);
