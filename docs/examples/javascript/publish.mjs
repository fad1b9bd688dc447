// Puts a batch straight on the queue, waits to be told of its end, and prints the best title of each user.

import { randomUUID } from "node:crypto";
import { LIMIT, follow, printResults, run } from "./client.mjs";
import { redis } from "./redis.mjs";

const USAGE = `
usage: node publish.mjs USER_ID...
       node publish.mjs - < FILE      (one user id to a line)

BROKER_URL       the broker, a Redis (redis://127.0.0.1:6379/1)
ML_SERVICE_URL   the service (http://127.0.0.1:8000)
LIMIT            titles per user (10)
JOB_ID           the job's id, a UUID (a new one); published again with the same id, it is the same job
APPEARS_SECONDS  longest wait for a worker to take the message (60)
`;

// region: publish
/** Any number of users, up to 100,000. */
async function publish(users) {
  const jobId = process.env.JOB_ID || randomUUID();
  const replyTo = `recommendations.reply.${jobId.toLowerCase()}`;
  const message = celeryMessage("recommendations.batch.v1", {
    job_id: jobId, user_ids: users, limit: LIMIT, reply_to: replyTo,
  });
  await redis(["LPUSH", "recommendations", JSON.stringify(message)]);
  console.error(`job ${jobId}, published`);
  await printResults(await follow(`/api/jobs/${jobId}`, (milliseconds) => listen(replyTo, milliseconds)));
}

/** A task as Celery's protocol 2 writes it. The delivery tag must be another for every message. */
function celeryMessage(task, kwargs) {
  const id = randomUUID();
  const nothing = { callbacks: null, errbacks: null, chain: null, chord: null };
  return {
    body: JSON.stringify([[], kwargs, nothing]),
    "content-type": "application/json",
    "content-encoding": "utf-8",
    headers: { lang: "js", task, id, root_id: id },
    properties: {
      correlation_id: id,
      delivery_tag: randomUUID(),
      delivery_mode: 2,
      delivery_info: { exchange: "", routing_key: "recommendations" },
    },
  };
}
// end

// region: listen
/**
 * Listen for an announcement. It says that it is worth asking for the job: should it get lost, or come twice, nothing
 * is wrong.
 */
async function listen(queue, milliseconds) {
  const found = await redis(["BRPOP", queue, String(milliseconds / 1000)], { milliseconds });
  if (found) console.error(`announced: ${JSON.parse(found[1]).type}`);
}
// end

await run(publish, USAGE);
