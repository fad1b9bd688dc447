// Prints all of one user's titles, page by page: what an endless scroll does.

import { eachTitle } from "./client.mjs";
import { LIMIT, run, scored, service } from "./console.mjs";

const USAGE = `
usage: node browse.mjs USER_ID

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles of a page (10)
`;

// region: browse
/** A whole list, no title twice, though the user may like and watch meanwhile. */
async function browse([user]) {
  const pageAt = (cursor) => service.recommend(user, { cursor, limit: LIMIT, explain: false });
  for await (const title of eachTitle(pageAt)) console.log(scored(title));
}
// end

await run(browse, USAGE);
