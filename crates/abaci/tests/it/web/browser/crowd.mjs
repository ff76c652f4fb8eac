// Five thousand jobs in a minute while the list is open: it follows, it can be used all the time, and its memory stays flat.

import assert from 'node:assert/strict';
import { eventually, scenario } from './page.mjs';
import { shown, submit } from './server.mjs';

const ROUNDS = 50;
const JOBS = 100;

await scenario(async (open) => {
  const view = await open('/jobs');
  const { page } = view;
  await page.locator('#live').getByText('live').waitFor();
  await view.stays();
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  const weigh = async () => {
    await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    const of = (name) => metrics.find((metric) => metric.name === name).value;
    return { heap_kb: Math.round(of('JSHeapUsedSize') / 1000), nodes: of('Nodes') };
  };
  const samples = [];
  let [slowest, last] = [0, ''];
  const begun = Date.now();
  for (let round = 1; round <= ROUNDS; round += 1) {
    [last] = (await submit(Array.from({ length: JOBS }, () => ({ n: 30 })))).slice(-1);
    // The page does what a reader asks for, as soon as it is asked.
    const asked = performance.now();
    await page.evaluate(() => new Promise((done) => { requestAnimationFrame(done); }));
    slowest = Math.max(slowest, performance.now() - asked);
    if (round % 10 === 0) samples.push(await weigh());
    await new Promise((resume) => setTimeout(resume, begun + round * 1000 - Date.now()));
  }
  await eventually(async () => (await shown(last)).state === 'succeeded');
  const seconds = (Date.now() - begun) / 1000;
  await page.locator(`[data-job="${last}"], [data-key="${last}"]`).first().getByText('succeeded').waitFor();
  console.log(JSON.stringify({ jobs: ROUNDS * JOBS, seconds, slowest_frame_ms: Math.round(slowest), samples }));
  const [first, ...others] = samples;
  for (const { heap_kb: heap, nodes } of others) {
    assert.ok(heap < first.heap_kb + 5_000, `the memory grows: ${JSON.stringify(samples)}`);
    assert.ok(nodes < first.nodes * 2, `the document grows: ${JSON.stringify(samples)}`);
  }
  await view.assertStayed();
});
