// The pictures of the README: a fleet with jobs in it, one of them with a crash, wide, light and dark.

import { writeFileSync } from 'node:fs';
import { eventually, scenario } from './page.mjs';
import { attempts, change, logIn, shown, submit, until } from './server.mjs';

const DIRECTORY = process.env.ABACI_PICTURES;
const LARGEST_BYTES = 150_000;

/** Kills the worker of a job that computes, and waits until that start has ended. */
async function crash(id) {
  await eventually(async () => (await shown(id)).progress?.step === 'compute');
  const { pid, number } = (await attempts(id)).at(-1);
  process.kill(pid, 'SIGKILL');
  await eventually(async () => (await attempts(id)).find((start) => start.number === number).end);
}

/** Saves what the window shows, light and dark. */
async function save(view, name, height) {
  const { page } = view;
  const session = await page.context().newCDPSession(page);
  await page.setViewportSize({ width: 1280, height });
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    // Playwright itself writes PNG and JPEG, which are three times as large.
    const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 90 });
    const picture = Buffer.from(data, 'base64');
    const path = `${DIRECTORY}/${name}-${colorScheme}.webp`;
    if (picture.length > LARGEST_BYTES) throw new Error(`${path} has ${picture.length} bytes, over ${LARGEST_BYTES}`);
    writeFileSync(path, picture);
  }
}

await scenario(async (open) => {
  const told = (n, tag, more = {}) => ({ n, tag, ...more });
  const [parked] = await submit(told(49, 'nightly', { algorithm: 'recursive' }));
  for (let start = 0; start < 3; start += 1) await crash(parked);
  await until(parked, 'parked');

  const ended = await submit([10, 100, 1000, 46_368, 832_040, 1_000_000, 10_000_000].map((n) => told(n, 'report')));
  const [steps] = await submit({ n: 200, algorithm: 'stepwise', tag: 'audit' });
  const [cancelled] = await submit(told(48, 'nightly', { algorithm: 'recursive' }));
  for (const id of [...ended, steps]) await until(id, 'succeeded');
  await until(cancelled, 'running');
  await change(cancelled, 'cancel');

  const [struck] = await submit({ n: 44, algorithm: 'recursive', tag: 'audit' });
  const view = await open();
  await logIn(view);
  await view.go(`/jobs/${struck}`);
  await view.page.locator('[data-percent]').waitFor();
  await crash(struck);
  await until(struck, 'running');
  const busy = await submit([45, 46].map((n) => told(n, 'nightly', { algorithm: 'recursive' })));
  for (const id of busy) await until(id, 'running');
  await submit([300, 301, 302, 303].map((n) => told(n, 'report')));

  await view.go('/');
  const shares = () => view.page.locator('progress').evaluateAll((bars) => bars.map(({ value }) => value));
  await eventually(async () => {
    const all = await shares();
    return all.length === 3 && all.every((share) => share > 0.1) && all.some((share) => share > 0.5);
  });
  await view.page.locator('#live').getByText('live').waitFor();
  await save(view, 'overview', 1000);
  await until(struck, 'succeeded');
  await view.go(`/jobs/${struck}`);
  await view.page.locator('#live').getByText('live').waitFor();
  await save(view, 'job', 860);
}, { deadline_ms: 180_000 });
