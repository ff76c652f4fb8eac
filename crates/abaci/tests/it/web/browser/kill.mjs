// The worker of a job is killed while the page of the job is open: crash, next attempt and value show by themselves.

import assert from 'node:assert/strict';
import { ask, scenario } from './page.mjs';
import { submit } from './server.mjs';

await scenario(async (open) => {
  const [id] = await submit({ n: 42, algorithm: 'recursive' });
  const view = await open(`/jobs/${id}`);
  const { page } = view;
  await page.locator('[data-percent]').waitFor();
  await view.stays();
  const timeline = page.getByRole('list', { name: 'What happened' });
  await timeline.getByText('Attempt 1').waitFor();
  assert.equal(await page.locator('path.crash').count(), 0, 'a crash before there was one');

  const worker = await ask('kill its worker');
  await timeline.getByRole('listitem').filter({ hasText: 'Attempt 1' }).filter({ hasText: worker }).getByText('its worker died').waitFor();
  await page.locator('path.crash').waitFor({ state: 'attached' });
  await page.locator('rect.crashed').waitFor({ state: 'attached' });
  await timeline.getByText('Attempt 2').waitFor();
  await page.locator('#digits').getByText('267914296').waitFor();
  await view.sees('heading', 'F(42) succeeded on attempt 2');
  // The history stays.
  await timeline.getByRole('listitem').filter({ hasText: 'Attempt 2' }).getByText('succeeded').waitFor();
  assert.equal(await page.locator('path.crash').count(), 1);
  await view.assertStayed();
  await page.reload();
  await timeline.getByRole('listitem').filter({ hasText: 'Attempt 1' }).getByText('its worker died').waitFor();
  // The next process in its place tells how it ended.
  await view.go('/workers');
  const card = page.getByRole('listitem').filter({ hasText: worker });
  await card.getByText(/before it, process \d+ ended .*: SIGKILL/).waitFor();
});
