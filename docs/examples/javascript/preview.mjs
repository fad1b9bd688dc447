// Prints what somebody who signs up would get.

import { LIMIT, run, scored, service } from "./console.mjs";

const USAGE = `
usage: node preview.mjs GENRE[,GENRE...] [MEDIA_ID...]

GENRE             what they prefer
MEDIA_ID          what they like
ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
`;

// region: preview
/** What to show to somebody who has just said what they like; nothing is stored of it. */
async function preview([genres, ...liked]) {
  const page = await service.preview({ genres: genres.split(","), liked, limit: LIMIT });
  for (const title of page.recommendations) console.log(`${scored(title)}  (${title.reason.text})`);
}
// end

await run(preview, USAGE);
