// Everything by the keyboard alone, with the focus to be seen and never lost.

import assert from 'node:assert/strict';
import { eventually, scenario } from './page.mjs';
import { change, logIn, submit, until } from './server.mjs';

const REACHABLE = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';

/** The elements that can be reached, in the order of the document, and which of them has the focus: those that are live come and go. */
const look = (view) => view.page.evaluate((selector) => {
  const all = [...document.querySelectorAll(selector)].filter((part) => part.checkVisibility() && !part.matches(':disabled'));
  const part = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(part);
  const box = part.getBoundingClientRect();
  return {
    parts: all.map((part) => part.outerHTML.slice(0, 120)),
    place: all.indexOf(part),
    isVisible: outlineStyle !== 'none' && parseFloat(outlineWidth) > 0 && box.right > 0 && box.bottom > 0,
  };
}, REACHABLE);

/** Presses Tab from the top to the end of a page. */
async function walk(view, path) {
  await view.go(path);
  const { parts } = await look(view);
  for (const [place, part] of parts.entries()) {
    await view.page.keyboard.press('Tab');
    const at = await look(view);
    assert.equal(at.place, place, `on ${path} the tab order leaves out or misplaces ${part}`);
    assert.ok(at.isVisible, `on ${path} the focus does not show on ${part}`);
  }
}

await scenario(async (open) => {
  const view = await open();
  const { page } = view;
  const press = (key) => page.keyboard.press(key);
  // A key that is pressed before the script of a new page listens is a browser's own.
  const listens = () => page.locator('#live').getByText('live').waitFor();
  const focus = () => page.evaluate(() => document.activeElement.textContent);
  await logIn(view);
  const [done] = await submit({ n: 10 });
  await until(done, 'succeeded');
  const [running] = await submit({ n: 50, algorithm: 'recursive' });
  await until(running, 'running');
  const [waiting] = await submit({ n: 30 });
  for (const path of ['/jobs', '/queues', '/workers', '/submit', `/jobs/${done}`, `/jobs/${running}`, '/login']) await walk(view, path);

  await view.go('/jobs');
  await view.stays();
  await listens();
  await press('j');
  assert.equal(await focus(), 'F(30)');
  await press('j');
  await press('j');
  await press('j');
  assert.equal(await focus(), 'F(10)', 'the last one is not passed');
  await press('k');
  assert.equal(await focus(), 'F(50)');
  // The list changes under the focus: this row, its neighbour, and what is new.
  const row = (n) => page.locator('tr', { has: view.get('link', `F(${n})`, { exact: true }) });
  await change(running, 'cancel');
  await row(50).getByText('cancelled').waitFor();
  await row(30).getByText('succeeded').waitFor();
  await submit({ n: 31 });
  await eventually(async () => (await focus()) === 'F(50)' && (await row(30).getByText('succeeded').count()) === 1);
  await press('Shift+Tab');
  await press('Tab');
  assert.equal(await focus(), 'F(50)', 'the focus is lost');
  await view.assertStayed();
  await press('Enter');
  await view.sees('heading', 'F(50) cancelled');

  await listens();
  await press('r');
  assert.equal(await focus(), 'Resume');
  await press('Enter');
  await view.reads('Resumed: it waits');
  await page.locator('h1').getByText('running').waitFor();
  await listens();
  await press('c');
  assert.equal(await focus(), 'Cancel');
  await press('Enter');
  await view.reads('Cancelled; what computes stops');

  await listens();
  await press('?');
  await view.sees('dialog', 'Keyboard');
  await press('c');
  await view.sees('dialog', 'Keyboard');
  await press('Escape');
  await view.get('dialog', 'Keyboard').waitFor({ state: 'hidden' });
  await press('/');
  await page.keyboard.type('10');
  await press('Enter');
  await page.waitForURL('**/jobs?*q=10*');
  await view.sees('link', 'F(10)');
  await press('Tab');
  await press('Enter');
  assert.equal(new URL(page.url()).hash, '#main', 'the first stop skips to the content');
});
