// Tells whether a callback is the service's own: it prints what happened to which job, or ends with status 1.

import { createHmac, timingSafeEqual } from "node:crypto";
import { buffer } from "node:stream/consumers";

const USAGE = `
usage: node verify.mjs WEBHOOK_ID WEBHOOK_TIMESTAMP WEBHOOK_SIGNATURE < BODY

CALLBACK_SECRET  the secret that the service signs with: whsec_...
`;

// region: verify
/** Whether this request, at most five minutes old, was signed with the secret. body: the bytes as they came. */
function verify(secret, headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures = "" } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const signed = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${signed}`);
  return signatures.split(" ") // several while the secret is being changed
    .map((signature) => Buffer.from(signature))
    .some((signature) => signature.length === expected.length && timingSafeEqual(signature, expected));
}
// end

const [id, timestamp, signature, ...more] = process.argv.slice(2);
if (!signature || more.length) {
  console.error(USAGE.trim());
  process.exit(2);
}
const body = await buffer(process.stdin);
const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
if (!verify(process.env.CALLBACK_SECRET, headers, body)) {
  console.error("error: not signed by the service, or too old");
  process.exit(1);
}
const { type, data } = JSON.parse(body);
console.log(type, data.job_id);
