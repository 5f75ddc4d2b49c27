// Every task of the README, by the generated client, against the nodes that the environment names: BANYAN_HQ and BANYAN_BERLIN with their
// administrators' passwords in ..._PASSWORD. The node's certificate is trusted by NODE_EXTRA_CA_CERTS.
import assert from "node:assert/strict";
import test from "node:test";
import { answer, connect, Refused, watch } from "../index.js";

const environment = (name: string): string => process.env[name] ?? assert.fail(`${name} is not set`);

async function login(name: string) {
  const node = environment(name);
  const session = answer(await connect({ node }).POST("/session", { body: { name: "admin", password: environment(`${name}_PASSWORD`) } }));
  const options = { node, token: session.token };
  return { options, client: connect(options) };
}

test("who asks", async () => {
  const node = environment("BANYAN_HQ");
  const stranger = connect({ node });
  assert.equal(answer(await stranger.GET("/node")).name, "hq");
  const refused = await stranger.GET("/contexts/{path}", { params: { path: { path: "/system" } } });
  assert.equal(refused.response.status, 401);
  assert.equal(refused.error?.kind, "unauthenticated");
  const wrong = await stranger.POST("/session", { body: { name: "nobody", password: "guess" } });
  assert.equal(wrong.error?.status, 401);
  const { client } = await login("BANYAN_HQ");
  assert.deepEqual(answer(await client.GET("/session")).rules, ["/** administer"]);
  assert.equal(answer(await client.DELETE("/session")).ended, 1);
  assert.equal((await client.GET("/session")).response.status, 401);
});

test("read, change, watch, call, create and remove", async () => {
  const { options, client } = await login("BANYAN_HQ");
  const path = { path: "/devices/typescript" };
  answer(await client.POST("/contexts", { body: { path: path.path, kind: "simulator", settings: { poll_interval: "1h0m0s", points: "3" } } }));
  const children = answer(await client.GET("/children/{path}", { params: { path: { path: "/devices" } } }));
  assert.ok(children.children.some((child) => child.path === path.path && child.kind === "simulator"));

  const read = await client.GET("/settings/{path}", { params: { path } });
  const document = answer(read);
  const etag = read.response.headers.get("ETag") ?? assert.fail("no ETag");
  assert.equal(document.settings["points"], "3");
  document.settings["step"] = 2.5;
  const put = () => client.PUT("/settings/{path}", { params: { path, header: { "If-Match": etag } }, body: document });
  assert.notEqual(answer(await put()).revision, undefined);
  document.settings["step"] = 3.5;
  const second = await put();
  assert.equal(second.response.status, 412);
  assert.notEqual(second.error?.revision, undefined);
  answer(await client.PATCH("/settings/{path}", { params: { path }, body: { settings: { step: 4 }, texts: { points: "4" } } }));

  const step = { path: { address: `${path.path}:step` } };
  assert.equal(answer(await client.GET("/values/{address}", { params: step })).value, 4);
  const stop = new AbortController();
  const seen: unknown[] = [];
  for await (const event of watch(options, [step.path.address], stop.signal)) {
    seen.push([event.event, event.readings[0]?.value]);
    if (event.event === "change") break;
    answer(await client.PUT("/values/{address}", { params: step, body: { value: 5 } }));
  }
  stop.abort();
  assert.deepEqual(seen, [["snapshot", 4], ["change", 5]]);
  await assert.rejects(watch(options, ["/devices/none"]).next(), (error) => error instanceof Refused && error.problem.status === 404);

  const called = answer(await client.POST("/functions/{address}", { params: { path: { address: `${path.path}:poll_now` } }, body: {} }));
  assert.ok(called.results.length > 0);
  const context = answer(await client.GET("/contexts/{path}", { params: { path } }));
  assert.equal(context.variables.find((variable) => variable.name === "all_int64")?.value, "9007199254740993");
  answer(await client.DELETE("/contexts/{path}", { params: { path } }));
  assert.equal((await client.GET("/contexts/{path}", { params: { path } })).error?.kind, "not-found");
});

test("link two nodes", async () => {
  const hq = await login("BANYAN_HQ");
  const berlin = await login("BANYAN_BERLIN");
  const call = async (client: typeof hq.client, address: string, args: Record<string, string>) => {
    const answered = answer(await client.POST("/functions/{address}", { params: { path: { address } }, body: { arguments: args } }));
    return new Map(answered.results.map((result) => [result.name, result.value]));
  };
  const invited = await call(hq.client, "/links:invite", { name: "berlin", role: "consumer", mount: "/sites/berlin" });
  const joined = await call(berlin.client, "/links:join", { token: String(invited.get("token")), paths: "/**", right: "configure" });
  assert.equal(joined.get("peer"), "hq");
  const path = { path: "/sites/berlin/devices/far" };
  for (let tries = 0; ; tries++) {
    const made = await hq.client.POST("/contexts", { body: { path: path.path, kind: "simulator", settings: { poll_interval: "1h0m0s" } } });
    if (!made.error) break;
    assert.ok(tries < 100, made.error.detail); // the link takes a moment to come up
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const far = answer(await hq.client.GET("/contexts/{path}", { params: { path } }));
  assert.deepEqual(far.via, ["berlin"]);
  answer(await hq.client.PATCH("/settings/{path}", { params: { path }, body: { settings: { step: 7 } } }));
  const there = answer(await berlin.client.GET("/values/{address}", { params: { path: { address: "/devices/far:step" } } }));
  assert.equal(there.value, 7);
});
