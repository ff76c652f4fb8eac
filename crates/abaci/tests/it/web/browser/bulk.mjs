// Many jobs at once, each time after a preview: some that are selected, and all that match; what comes or changes meanwhile is spared.

import assert from 'node:assert/strict';
import { scenario } from './page.mjs';
import { change, logIn, shown, submit } from './server.mjs';

await scenario(async (open) => {
  const view = await open();
  const { page } = view;
  const click = (role, name) => view.get(role, name, { exact: true }).click();
  await logIn(view);
  // A list that was empty gets its buttons with its rows.
  await view.go('/jobs?tag=night');
  await view.stays();
  assert.equal(await view.get('button', 'Cancel the selected jobs').count(), 0);

  const night = (n) => ({ n, tag: 'night' });
  const ids = await submit([1, 2, 3, 4, 5].map(night), '?delay=1h');
  const [other] = await submit([{ n: 6, tag: 'day' }], '?delay=1h');
  const state = async (id) => (await shown(id)).state;
  await view.sees('link', 'Cancel all 5 that match');
  await view.assertStayed();

  // Marked rows stay, with their buttons, though the list has none of them any more.
  const [dusk] = await submit([{ n: 8, tag: 'dusk' }], '?delay=1h');
  await view.go('/jobs?tag=dusk&state=delayed');
  await page.locator('tbody input[name=id]').check();
  await change(dusk, 'cancel');
  await page.locator('#count').getByText('0 jobs').waitFor();
  await click('button', 'Cancel the selected jobs');
  await view.sees('heading', 'There is no job to cancel');

  await view.go('/jobs?tag=night');
  const box = (n) => page.locator('tr', { has: view.get('link', `F(${n})`, { exact: true }) }).getByRole('checkbox');
  for (const n of [2, 4]) await box(n).check();
  await click('button', 'Cancel the selected jobs');
  await view.sees('heading', 'Cancel 2 jobs?');
  await view.auditAllWays();
  await click('link', 'Change nothing');
  await view.sees('link', 'F(5)');
  assert.equal(await state(ids[1]), 'delayed');
  for (const n of [2, 4]) await box(n).check();
  await click('button', 'Cancel the selected jobs');
  await click('button', 'Cancel 2 jobs');
  await view.sees('heading', '2 jobs were cancelled');
  await view.auditAllWays();
  assert.deepEqual(await Promise.all(ids.map(state)), ['delayed', 'cancelled', 'delayed', 'cancelled', 'delayed']);

  await click('link', 'Back to the jobs');
  await click('link', 'Cancel all 5 that match');
  await view.sees('heading', 'Cancel 3 jobs?');
  const [late] = await submit([night(7)], '?delay=1h');
  await click('button', 'Cancel 3 jobs');
  await view.sees('heading', '3 jobs were cancelled');
  assert.deepEqual(await Promise.all([...ids, late, other].map(state)), [...ids.map(() => 'cancelled'), 'delayed', 'delayed']);

  await view.go('/jobs?tag=night&state=cancelled');
  await click('link', 'Delete all 5 that match');
  await view.sees('heading', 'Delete 5 jobs?');
  // It does not match any more.
  await change(ids[0], 'resume');
  await click('button', 'Delete 5 jobs');
  await view.sees('heading', '4 jobs were deleted');
  await view.auditAllWays();
  assert.ok(await state(ids[0]), 'one that was taken up again meanwhile is gone');
});
