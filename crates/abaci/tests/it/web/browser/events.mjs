// What a browser hears of one job, with no page of ours around it: it comes back by itself to a server that was killed, hears the
// result, and stops coming after it.

import assert from 'node:assert/strict';
import { ask, eventually, scenario } from './page.mjs';

await scenario(async (open) => {
  const view = await open('/healthz');
  // A connection that breaks or is refused is an error in the console.
  view.foresee(/net::ERR_/);
  view.foresee(/favicon/);
  await view.page.evaluate(() => {
    window.heard = [];
    window.source = new EventSource('/api/v1/jobs/watched/events');
    for (const name of ['open', 'state', 'progress', 'result', 'end']) {
      source.addEventListener(name, ({ data }) => heard.push({ name, data }));
    }
  });
  const heard = (name) => view.page.evaluate((name) => heard.filter((event) => event.name === name), name);

  await eventually(async () => (await heard('state')).length > 0);
  await ask('kill the web process');
  await eventually(async () => (await heard('open')).length > 1);
  await ask('let the job end');
  await eventually(() => view.page.evaluate(() => source.readyState === EventSource.CLOSED));

  const values = (await heard('result')).map(({ data }) => JSON.parse(data).result.value);
  assert.ok(values.length > 0 && values.every((value) => value === '354224848179261915075'), String(values));
});
