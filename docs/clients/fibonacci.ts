// Computes F(n) over HTTP: node fibonacci.ts N KEY. Node.js before 22.18: node --input-type=module - N KEY < fibonacci.ts
const server = process.env.SERVER_URL ?? "http://127.0.0.1:8081";
const [n, key] = process.argv.slice(2);
// The key is the id of the job: the same request again answers the same and queues nothing twice.
const headers = { Authorization: `Bearer ${process.env.ABACI_WEB_TOKEN}`, "Idempotency-Key": key, "Content-Type": "application/json" };
const submitted = await fetch(`${server}/api/v1/jobs`, { method: "POST", headers, body: JSON.stringify({ n }) });
if (!submitted.ok) throw new Error(await submitted.text());
const job = server + (await submitted.json()).jobs[0].href;
let [text, state] = ["", ""];
for await (const part of (await fetch(`${job}/events`, { headers })).body?.pipeThrough(new TextDecoderStream()) ?? []) {
  text += part;
  for (const [, data] of text.matchAll(/^data: (.*)\n/gm)) state = JSON.parse(data).state ?? state;
  text = text.slice(text.lastIndexOf("\n") + 1);
  if (["succeeded", "failed", "parked", "cancelled"].includes(state)) break;
}
const { error, state: end } = await (await fetch(job, { headers })).json();
if (end !== "succeeded") throw new Error(error?.message ?? end);
// The result itself leaves out a value of over 10,000 digits.
const digits = await fetch(`${job}/value`, { headers });
if (!digits.ok) throw new Error(await digits.text());
console.log(await digits.text());
