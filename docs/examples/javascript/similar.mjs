// Prints more like a title.

import { LIMIT, run, scored, service } from "./console.mjs";

const USAGE = `
usage: node similar.mjs MEDIA_ID

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
`;

// region: similar
/** What to show beside a title. */
async function similar([title]) {
  const page = await service.similar(title, { limit: LIMIT, explain: false });
  for (const other of page.recommendations) console.log(scored(other));
}
// end

await run(similar, USAGE);
