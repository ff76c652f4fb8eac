// A worker with two jobs, of which one ends under the focus: no key that is pressed then is meant for the other.

import assert from 'node:assert/strict';
import { scenario } from './page.mjs';
import { change, logIn, submit, until } from './server.mjs';

await scenario(async (open) => {
  const view = await open();
  const { page } = view;
  await logIn(view);
  const ids = await submit([49, 50].map((n) => ({ n, algorithm: 'recursive' })));
  for (const id of ids) await until(id, 'running');
  await view.go('/workers');
  await view.stays();
  const links = page.locator('#cards .at a');
  await links.nth(1).waitFor();
  const [first, second] = await links.evaluateAll((all) => all.map(({ textContent, pathname }) => ({ textContent, id: pathname.split('/').pop() })));
  await links.first().focus();
  await links.nth(1).evaluate((link) => { link.isTheSame = true; });

  await change(first.id, 'cancel');
  await view.get('link', first.textContent).waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement === document.body), true, 'the focus went to another job');
  const left = view.get('link', second.textContent);
  assert.equal(await left.evaluate((link) => link.isTheSame), true, 'its element became that of another job');
  await view.assertStayed();
  await change(second.id, 'cancel');
});
