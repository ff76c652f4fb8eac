// The demonstration: whoever looks kills a worker, sees the crash in the story of its job, and the value all the same.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { scenario, eventually } from './page.mjs';

await scenario(async (open) => {
  const view = await open();
  const { page } = view;
  // As the demonstration leads a browser: from a file, so that the cookie has to outlast a start elsewhere.
  const file = `${process.env.TMPDIR}/open.html`;
  writeFileSync(file, `<!doctype html><meta http-equiv=refresh content="0; url=${process.env.ABACI_DEMO_URL}">`);
  view.foresee(/request elsewhere: file:/);
  await page.goto(`file://${file}`);
  await page.waitForURL('**/?did=in');
  // The head of the page is as the server sent it; the cards are looked at again by the script, with the cookie.
  await view.sees('button', 'Log out');
  const card = page.locator('[data-worker]').filter({ has: page.locator('[data-job]') }).first();
  const job = await card.locator('[data-job] a').first().getAttribute('href');
  const worker = await card.getAttribute('data-worker');
  await view.get('button', `kill -9: worker ${worker}`).click();
  await view.reads('Killed with SIGKILL');
  await view.audit();
  await view.go(job);
  await page.locator('.timeline path.crash').first().waitFor({ state: 'attached' });
  await view.reads('its worker died');
  await eventually(async () => (await page.locator('.timeline li').allInnerTexts()).some((text) => text.includes('Attempt 2')));
  await view.audit();
  await view.get('link', 'Overview').click();
  const names = await page.getByRole('button', { name: /kill -9/ }).count();
  assert.equal(names, 2, 'each worker has a button');
});
