// A client of banyan's REST interface. Types and operations come from schema.d.ts, which is made from the OpenAPI document; what is written here is
// the little that a generator cannot make: where the node is, whose token is sent, and the reading of server-sent events.
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, paths };
export type Reading = components["schemas"]["Reading"];
export type Problem = components["schemas"]["Problem"];

/** Where a node is, like "https://127.0.0.1:8443", and whose token is sent, if any. */
export interface Options {
  node: string;
  token?: string;
}

const prefix = "/api/v1";

const headers = (token?: string): Record<string, string> => (token ? { Authorization: `Bearer ${token}` } : {});

/** The operations, by method and path as in the OpenAPI document. */
export function connect({ node, token }: Options): Client<paths> {
  return createClient<paths>({ baseUrl: node + prefix, headers: headers(token) });
}

/** A refused request: `problem` says what happened, and what to do. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail ?? problem.title);
  }
}

/** What an operation answered, or Refused. */
export function answer<T>(result: { data?: T; error?: unknown }): T {
  if (result.error !== undefined) throw new Refused(result.error as Problem);
  return result.data as T;
}

/** Everything watched as it is (snapshot, the last of them complete), and then what changes. */
export interface WatchEvent {
  event: "snapshot" | "change";
  readings: Reading[];
  complete?: boolean;
  conflated?: boolean;
}

/**
 * Readings as they change, until the signal aborts or the stream ends; with Refused where the node says why. After a break watch again: the new
 * snapshot makes up for what was missed.
 */
export async function* watch({ node, token }: Options, addresses: string[], signal?: AbortSignal): AsyncGenerator<WatchEvent> {
  const query = new URLSearchParams(addresses.map((address) => ["address", address]));
  const response = await fetch(`${node}${prefix}/watch?${query}`, { headers: headers(token), ...(signal ? { signal } : {}) });
  if (!response.ok || !response.body) throw new Refused((await response.json()) as Problem);
  let text = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      const event = fields.get("event");
      if (event === undefined) continue; // a comment, or how long to wait before coming again
      const data = JSON.parse(fields.get("data") ?? "{}");
      if (event === "problem") throw new Refused(data as Problem);
      yield { event: event as WatchEvent["event"], ...data };
    }
  }
}
