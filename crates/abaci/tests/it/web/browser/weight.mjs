// What a view weighs, when it is first painted, and how long a table of 500 rows takes to follow. Only the weight is asserted.

import assert from 'node:assert/strict';
import { eventually, scenario } from './page.mjs';
import { logIn, submit, until } from './server.mjs';

const HEAVIEST_BYTES = 60_000;

/** Loads a view and returns its bytes without compression and the time of its first paint. */
async function weigh(view, path) {
  const bodies = [];
  const note = (answer) => bodies.push(answer.body().then((body) => body.length, () => 0));
  view.page.on('response', note);
  await view.go(path);
  view.page.off('response', note);
  const bytes = (await Promise.all(bodies)).reduce((sum, size) => sum + size, 0);
  const paint = await eventually(() => view.page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime));
  return { path, bytes, paint_ms: Math.round(paint) };
}

/** Answers the list with 500 rows, of which each answer has one more that ended. */
async function lengthen(page) {
  let round = 0;
  await page.route('**/jobs', async (route) => {
    const answer = await route.fetch();
    const html = await answer.text();
    const [row] = html.match(/<tr data-key[^]*?<\/tr>/);
    const rows = Array.from({ length: 500 }, (_, number) => row
      .replaceAll(/data-(key|job)="[^"]*"/g, `data-$1="job-${number}"`)
      .replace('>succeeded<', number < 490 - round ? '>succeeded<' : '>cancelled<'));
    round += 1;
    await route.fulfill({ response: answer, body: html.replace(/<tr data-key[^]*<\/tr>/, rows.join('\n')) });
  });
}

await scenario(async (open) => {
  const ids = await submit(Array.from({ length: 60 }, (_, n) => ({ n: n + 1, tag: 'weighed' })));
  const [stepwise] = await submit({ n: 300, algorithm: 'stepwise' });
  await until(stepwise, 'succeeded');
  for (const id of ids) await until(id, 'succeeded');
  for (const path of ['/', '/jobs', `/jobs/${ids[0]}`, `/jobs/${stepwise}`, '/submit', '/queues', '/workers', '/login']) {
    // Each in a browser profile of its own, which has nothing yet.
    const view = await open();
    if (path !== '/login') await logIn(view);
    await view.page.context().newCDPSession(view.page).then((session) => session.send('Network.setCacheDisabled', { cacheDisabled: true }));
    const weight = await weigh(view, path);
    console.log(JSON.stringify(weight));
    assert.ok(weight.bytes > 10_000, `nothing is weighed: ${JSON.stringify(weight)}`);
    assert.ok(weight.bytes <= HEAVIEST_BYTES, `too heavy: ${JSON.stringify(weight)}`);
    await view.page.close();
  }

  const list = await open();
  await list.page.addInitScript(() => {
    const parse = DOMParser.prototype.parseFromString;
    window.updates = [];
    DOMParser.prototype.parseFromString = function (...given) {
      const began = performance.now();
      // The script replaces what differs in the same turn.
      queueMicrotask(() => {
        const replaced = performance.now();
        document.body.getBoundingClientRect();
        updates.push({ replaced_ms: replaced - began, laid_out_ms: performance.now() - began });
      });
      return parse.apply(this, given);
    };
  });
  await lengthen(list.page);
  await list.go('/jobs');
  assert.equal(await list.page.locator('tbody tr').count(), 500);
  const updates = await eventually(() => list.page.evaluate(() => updates.length >= 2 && updates));
  assert.ok(await list.page.getByText('cancelled').count() > 10, 'the table does not follow');
  console.log(JSON.stringify({ table_of: 500, updates }));
});
