// Puts a batch straight on the queue, then follows the job over HTTP and prints the best title of each user.

import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { LIMIT, Refused, follow, printResults, run } from "./client.mjs";

const USAGE = `
usage: node publish.mjs USER_ID...
       node publish.mjs - < FILE      (one user id to a line)

BROKER_URL      the service's broker (redis://127.0.0.1:6379/1)
ML_SERVICE_URL  the service (http://127.0.0.1:8000)
LIMIT           titles per user (10)
JOB_ID          the job's id, a UUID (a new one); published again with the same id, it is the same job
`;
const BROKER = process.env.BROKER_URL ?? "redis://127.0.0.1:6379/1";
const BROKER_MS = 5000; // longest silence of the broker

// region: publish
/** Any number of users, up to 100,000. */
async function publish(users) {
  const jobId = process.env.JOB_ID || randomUUID();
  const message = celeryMessage("recommendations.batch.v1", { job_id: jobId, user_ids: users, limit: LIMIT });
  await redis(BROKER, ["LPUSH", "recommendations", JSON.stringify(message)]);
  console.error(`job ${jobId}, published`);
  await printResults(await follow(`/api/jobs/${jobId}`, { published: true }));
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

// region: redis
/** Log in to the Redis of a redis:// address, choose its database, and run one command. Throws Refused. */
async function redis(address, command) {
  const { protocol, username, password, hostname, port, pathname } = new URL(address);
  if (protocol !== "redis:") throw new Refused(0, `BROKER_URL must start with redis://, not ${protocol}//`);
  const commands = [["SELECT", pathname.slice(1) || "0"], command];
  if (password) commands.unshift(["AUTH", ...[username, password].filter(Boolean).map(decodeURIComponent)]);

  const socket = connect(Number(port || 6379), hostname);
  socket.setTimeout(BROKER_MS, () => socket.destroy(new Error(`no answer within ${BROKER_MS} ms`)));
  socket.write(commands.map(encode).join(""));
  let received = "";
  const replies = () => received.split("\r\n").slice(0, -1); // each of these commands is answered with one line
  try {
    for await (const piece of socket.setEncoding("utf8")) {
      received += piece;
      if (replies().length >= commands.length) break;
    }
  } catch (error) {
    throw new Refused(0, `the broker did not take the message: ${error.message}`);
  }
  const wrong = replies().find((reply) => !/^[+:]/.test(reply));
  if (wrong || replies().length < commands.length) {
    throw new Refused(0, `the broker did not take the message: ${wrong ?? "it hung up"}`);
  }
}

/** A command in Redis's protocol. */
const encode = (words) =>
  `*${words.length}\r\n` + words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("");
// end

await run(publish, USAGE);
