// Puts a batch straight on the queue, waits to be told of its end, and prints the best title of each user.

import { randomUUID } from "node:crypto";
import { Failed, LIMIT, printResults, run, service, showProgress } from "./console.mjs";
import { redis } from "./redis.mjs";

const APPEARS_MS = 1000 * (process.env.APPEARS_SECONDS ?? 60); // longest wait for a worker to take the message

const USAGE = `
usage: node publish.mjs USER_ID...
       node publish.mjs - < FILE      (one user id to a line)

BROKER_URL        the broker, a Redis (redis://127.0.0.1:6379/1)
ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles per user (10)
JOB_ID            the job's id, a UUID (a new one); published again with the same id, it is the same job
APPEARS_SECONDS   longest wait for a worker to take the message (60)
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
  await printResults(await followPublished(jobId, replyTo));
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

/** A job that was put on the queue, once it has ended; it is unknown until a worker has taken the message. */
async function followPublished(jobId, queue) {
  const deadline = Date.now() + APPEARS_MS;
  for (let pause = 5000; ; pause = 2000) {
    await listen(queue, pause);
    try {
      return await service.follow(jobId, { progress: showProgress, wait: (ms) => listen(queue, ms) });
    } catch (error) {
      if (error.type !== "/problems/job-not-found") throw error;
    }
    if (Date.now() > deadline) {
      const again = `publish again with JOB_ID=${jobId}, which is safe`;
      throw new Failed(`not taken within ${APPEARS_MS / 1000} s; ${again}`);
    }
  }
}
// end

await run(publish, USAGE);
