// Two tabs of a browser and a third one of another: what is done in one, all of them show.

import { scenario } from './page.mjs';
import { logIn } from './server.mjs';

await scenario(async (open) => {
  const one = await open();
  await logIn(one);
  await one.go('/queues');
  const queues = await open('/queues', { beside: one });
  const jobs = await open('/jobs', { beside: one });
  const overview = await open('/');
  for (const view of [queues, jobs, overview]) await view.stays();

  await one.get('button', 'Pause queue fibonacci').click();
  await one.reads('Paused: what runs goes on');
  await queues.sees('button', 'Resume queue fibonacci');
  await overview.sees('heading', /paused/);

  await one.go('/submit');
  await one.page.getByLabel('Numbers').fill('77');
  await one.get('button', 'Submit').click();
  await one.reads('Queued.');
  const row = (view) => view.page.locator('tr', { has: view.get('link', 'F(77)') });
  await row(jobs).getByText('queued').waitFor();
  await row(overview).getByText('queued').waitFor();
  await overview.page.locator('#oldest').getByText('F(77)').waitFor();

  await queues.get('button', 'Resume queue fibonacci').click();
  await queues.reads('The queue starts jobs again.');
  await one.page.locator('#digits').getByText('5527939700884757').waitFor();
  await row(jobs).getByText('succeeded').waitFor();
  await row(overview).getByText('succeeded').waitFor();
  for (const view of [jobs, overview]) await view.assertStayed();
});
