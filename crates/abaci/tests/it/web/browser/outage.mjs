// The database goes and comes back under open pages: they say since when, buttons refuse with the reason, all goes on by itself.

import assert from 'node:assert/strict';
import { ask, scenario } from './page.mjs';
import { logIn, submit, until } from './server.mjs';

await scenario(async (open) => {
  const [running] = await submit({ n: 50, algorithm: 'recursive' });
  await until(running, 'running');
  const job = await open();
  await logIn(job);
  await job.go(`/jobs/${running}`);
  const other = await open(`/jobs/${running}`, { beside: job });
  const overview = await open('/');
  for (const view of [job, other, overview]) view.foresee(/status of 503/);
  await overview.stays();
  await other.stays();
  const alert = (view) => view.page.locator('#outage');

  await ask('stop the database');
  for (const view of [job, other, overview]) await alert(view).getByText(/has not answered since \d\d:\d\d:\d\d UTC/).waitFor();
  await alert(overview).screenshot();
  await overview.audit();
  await job.get('button', 'Cancel').click();
  await job.page.locator('h1.bad').waitFor();
  await job.reads('database');
  assert.match(job.page.url(), /\/cancel$/);
  await job.reads('Nothing was changed');
  await job.audit();

  await ask('start the database');
  await alert(overview).waitFor({ state: 'hidden' });
  await alert(other).waitFor({ state: 'hidden' });
  await overview.assertStayed();
  await other.get('button', 'Cancel').waitFor();
  await other.assertStayed();
  await other.get('button', 'Cancel').click();
  await other.page.locator('h1').getByText('cancelled').waitFor();
  await overview.page.locator('tr', { has: overview.get('link', 'F(50)') }).getByText('cancelled').waitFor();
});
