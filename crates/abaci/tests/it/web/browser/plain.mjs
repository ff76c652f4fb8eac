// Without scripts: everything by links, forms and loading again.

import assert from 'node:assert/strict';
import { eventually, scenario } from './page.mjs';
import { logIn } from './server.mjs';

await scenario(async (open) => {
  const view = await open(null, { javaScriptEnabled: false });
  view.foresee(/status of 422/);
  const { page } = view;
  const numbers = page.getByLabel('Numbers');
  const button = (name) => view.get('button', name);
  const reloaded = (words) => eventually(async () => {
    await page.reload();
    return await page.locator('h1').getByText(words).count() === 1;
  });
  await logIn(view);
  await view.get('link', 'Submit').click();
  await numbers.fill('many');
  await button('Submit').click();
  await page.locator('#numbers[aria-invalid=true]').waitFor();
  assert.equal(await numbers.inputValue(), 'many', 'the input is lost');
  await numbers.fill('50');
  await page.getByLabel('Algorithm').selectOption('recursive');
  await button('Estimate').click();
  await view.reads('F(50) has 11 digits.');
  await button('Submit').click();
  await view.reads('Queued.');
  await reloaded('running');

  await view.get('link', 'Jobs').click();
  await view.get('link', 'running').click();
  await view.get('link', 'F(50)').click();
  await button('Cancel').click();
  await view.reads('Cancelled; what computes stops');
  await reloaded('cancelled');
  assert.equal(await page.locator('[data-copy]:visible').count(), 0, 'a button that needs a script shows');

  await view.get('link', 'Submit').click();
  await numbers.fill('10\n20\n30');
  await button('Submit').click();
  await page.waitForURL('**/jobs?batch=*');
  for (const n of [10, 20, 30]) await view.sees('link', `F(${n})`);
  await page.locator('#q').fill('20');
  await button('Find').click();
  await view.get('link', 'F(20)').click();
  await reloaded('succeeded');
  await view.reads('6765');
  await page.locator('summary').getByText('Certificate').click();
  await view.reads('BLAKE3');
  await button('Verify').click();
  await view.reads('Verified: all digits were read');
  for (const name of ['Queues', 'Workers', 'Overview']) {
    await view.get('link', name, { exact: true }).click();
    await page.locator('h1').waitFor();
  }
});
