// A job from the form to its value, on pages that are never loaded again.

import assert from 'node:assert/strict';
import { eventually, scenario } from './page.mjs';
import { logIn } from './server.mjs';

await scenario(async (open) => {
  const view = await open();
  view.foresee(/status of 422/);
  await logIn(view);
  await view.get('link', 'Submit').click();
  const { page } = view;
  const numbers = page.getByLabel('Numbers');
  const tags = page.getByLabel('Tags');

  await numbers.fill('-7');
  await tags.fill('by-hand');
  await view.get('button', 'Submit').click();
  await page.locator('#numbers[aria-invalid=true]').waitFor();
  const error = await page.locator(`#${await numbers.getAttribute('aria-describedby')}`).textContent();
  assert.match(error, /-7/);
  assert.deepEqual([await numbers.inputValue(), await tags.inputValue()], ['-7', 'by-hand'], 'the input is lost');

  await numbers.fill('1000000');
  await view.reads('F(1,000,000) has 208,988 digits.');
  await numbers.fill('42');
  await page.getByLabel('Algorithm').selectOption('recursive');
  await view.reads('F(42) has 9 digits.');
  await page.locator('#estimate').getByText(/It takes .+ with recursive, and up to .+ of memory\./).waitFor();
  await view.get('button', 'Submit').click();

  await page.waitForURL('**/jobs/*did=queued');
  await view.reads('Queued.');
  await view.stays();
  await view.sees('link', 'by-hand');
  const shares = new Set();
  await eventually(async () => {
    const words = await page.locator('[data-percent]').textContent({ timeout: 1000 }).catch(() => null);
    if (words) shares.add(words);
    return shares.size > 2;
  });
  await page.locator('#digits').getByText('267914296').waitFor();
  await view.sees('heading', 'F(42) succeeded');
  await view.assertStayed();
});
