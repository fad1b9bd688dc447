// Prints the titles of a few users, answered at once.

import { LIMIT, run, scored, service } from "./console.mjs";

const USAGE = `
usage: node batch.mjs USER_ID...

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles per user (10)
`;

// region: batch
/** Up to 50 users in one request; more are a job. */
async function batch(users) {
  const pages = await service.batch(users, { limit: LIMIT, explain: false });
  for (const [user, page] of Object.entries(pages)) {
    console.log(`${user}  ${page.strategy}`);
    for (const title of page.recommendations) console.log(scored(title));
  }
}
// end

await run(batch, USAGE);
