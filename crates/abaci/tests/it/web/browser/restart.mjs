// The web process is killed under an open page, which comes back by itself and shows what happened meanwhile.

import { ask, scenario } from './page.mjs';
import { logIn } from './server.mjs';

await scenario(async (open) => {
  const jobs = await open();
  await logIn(jobs);
  await jobs.go('/jobs');
  // A connection that breaks or is refused is an error in the console.
  jobs.foresee(/net::ERR_/);
  await jobs.page.locator('#live').getByText('live').waitFor();
  await jobs.stays();
  await ask('kill the web process');
  await jobs.sees('link', 'F(77)');
  await jobs.page.locator('#live').getByText('live').waitFor();
  await jobs.page.locator('tr', { has: jobs.get('link', 'F(77)') }).getByText('succeeded').waitFor();
  await jobs.assertStayed();
  // The session is still one.
  await jobs.get('link', 'F(77)').click();
  await jobs.sees('button', 'Verify');
});
