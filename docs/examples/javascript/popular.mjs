// Prints what is popular lately.

import { LIMIT, run, scored, service } from "./console.mjs";

const USAGE = `
usage: node popular.mjs GENRE...

GENRE             any of these
ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
`;

// region: popular
/** What to show to everybody: a like or a watch of 90 days ago counts half. */
async function popular(genres) {
  const page = await service.popular({ half_life_days: 90, genres_any: genres, limit: LIMIT, explain: false });
  for (const title of page.recommendations) console.log(scored(title));
}
// end

await run(popular, USAGE);
