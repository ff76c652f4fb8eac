// Logged in by an address: cancel, resume and fork, by clicks.

import assert from 'node:assert/strict';
import { ask, scenario } from './page.mjs';
import { submit, until } from './server.mjs';

await scenario(async (open) => {
  const [long] = await submit({ n: 50, algorithm: 'recursive' });
  const view = await open(`/jobs/${long}`);
  const { page } = view;
  const button = (name) => view.get('button', name);
  assert.equal(await button('Cancel').count(), 0, 'who only reads has a button');

  view.foresee(/status of 401/);
  await view.get('link', 'log in').first().click();
  await page.getByLabel('Token').fill('a-token-of-another');
  await button('Log in').click();
  await page.getByRole('alert').getByText('This is not the token of this server').waitFor();
  assert.ok(!page.url().includes('token'), 'the token is in the address');
  await page.goto(await ask('the address that logs in'));
  await view.reads('You are logged in.');
  assert.ok(!page.url().includes('code='), 'the code stays in the address');

  await view.go(`/jobs/${long}`);
  await page.locator('h1').getByText('running').waitFor();
  await button('Cancel').click();
  await view.reads('Cancelled; what computes stops');
  await page.locator('h1').getByText('cancelled').waitFor();
  await button('Resume').click();
  await view.reads('Resumed: it waits in its queue again');
  await page.locator('h1').getByText('running').waitFor();
  await button('Cancel').click();
  await page.locator('h1').getByText('cancelled').waitFor();

  const [done] = await submit({ n: 100 });
  await until(done, 'succeeded');
  await view.go(`/jobs/${done}`);
  await button(/^Fork from here: step \d+, certify/).click();
  await view.reads('Forked: this is the new job');
  assert.ok(!page.url().includes(done), 'the fork has the page of its parent');
  await page.locator('#digits').getByText('354224848179261915075').waitFor();
  await view.sees('heading', 'F(100) succeeded');

  await button('Log out').click();
  await view.reads('You are logged out.');
  await view.go(`/jobs/${done}`);
  assert.equal(await button(/^Fork from here/).count(), 0, 'the session did not end');
});
