// Prints one user's titles with their scores.

import { LIMIT, run, scored, service } from "./console.mjs";

const USAGE = `
usage: node recommend.mjs USER_ID

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
`;

// region: recommend
/** One user's best titles. */
async function recommend([user]) {
  const page = await service.recommend(user, { limit: LIMIT });
  console.log(`${page.user_id}  ${page.strategy}`);
  for (const title of page.recommendations) console.log(scored(title));
}
// end

await run(recommend, USAGE);
