// Prints one user's titles of some genres, each with why it is recommended.

import { LIMIT, run, scored, service } from "./console.mjs";

const USAGE = `
usage: node filtered.mjs USER_ID GENRE...

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
`;

// region: filtered
/** One user's best titles that have any of these genres, and what of the history each is owed to. */
async function filtered([user, ...genres]) {
  const page = await service.recommend(user, { genres_any: genres, limit: LIMIT });
  for (const title of page.recommendations) {
    console.log(scored(title));
    console.log(`        ${title.reason.text}`);
    for (const cause of title.reason.history) {
      console.log(`        ${cause.share.toFixed(4)}  ${cause.title ?? "(no title)"}`);
    }
  }
}
// end

await run(filtered, USAGE);
