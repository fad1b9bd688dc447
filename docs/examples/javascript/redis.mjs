// One command to Redis, with Node alone; in a project of your own, let a Redis client do this.

import { connect } from "node:net";
import { Failed } from "./console.mjs";

const BROKER = process.env.BROKER_URL ?? "redis://127.0.0.1:6379/1";
const BROKER_MS = 5000; // longest silence of the broker

// region: redis
/**
 * Log in to the Redis of BROKER_URL, choose its database, run one command, and give its reply.
 *
 * milliseconds: how long the command itself may wait. Throws Failed.
 */
export async function redis(command, { milliseconds = 0 } = {}) {
  const { protocol, username, password, hostname, port, pathname } = new URL(BROKER);
  if (protocol !== "redis:") throw new Failed(`BROKER_URL must start with redis://, not ${protocol}//`);
  const commands = [["SELECT", pathname.slice(1) || "0"], command];
  if (password) commands.unshift(["AUTH", ...[username, password].filter(Boolean).map(decodeURIComponent)]);

  const patience = BROKER_MS + milliseconds;
  const socket = connect(Number(port || 6379), hostname);
  socket.setTimeout(patience, () => socket.destroy(new Error(`no answer within ${patience} ms`)));
  socket.write(commands.map(encode).join(""));
  let received = "";
  try {
    for await (const piece of socket.setEncoding("latin1")) { // a character is a byte, as Redis counts
      received += piece;
      const replies = decode(received, commands.length);
      if (replies) return replies.at(-1);
    }
  } catch (error) {
    throw new Failed(`the broker did not take ${command[0]}: ${error.message}`);
  }
  throw new Failed(`the broker did not take ${command[0]}: it hung up`);
}

/** A command in Redis's protocol. */
const encode = (words) =>
  `*${words.length}\r\n` + words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("");

/** So many replies, or nothing while they are not all there. Throws an Error that Redis replied with. */
function decode(text, count) {
  let at = 0;
  const reply = () => {
    const end = text.indexOf("\r\n", at);
    if (end < 0) throw new RangeError("incomplete");
    const [kind, rest] = [text[at], text.slice(at + 1, end)];
    at = end + 2;
    if (kind === "-") throw new Error(rest);
    if (kind === "+" || rest === "-1") return kind === "+" ? rest : null;
    if (kind === "*") return Array.from({ length: Number(rest) }, reply);
    if (kind !== "$") return Number(rest);
    const value = text.slice(at, at + Number(rest));
    at += Number(rest) + 2;
    if (at > text.length) throw new RangeError("incomplete");
    return Buffer.from(value, "latin1").toString("utf8");
  };
  try {
    return Array.from({ length: count }, reply);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
// end
