// The server of a scenario as a program meets it, outside of any browser.

import assert from 'node:assert/strict';
import { eventually, token } from './page.mjs';

/** Queues one request or a list of them, and returns the ids of the jobs. */
export async function submit(requests, query = '') {
  const { jobs } = await ask('POST', `/api/v1/jobs${query}`, requests);
  return jobs.map(({ id }) => id);
}

/** Does to a job what the last part of the path says. */
export async function change(id, what, body = {}) {
  return ask('POST', `/api/v1/jobs/${id}/${what}`, body);
}

/** The starts of a job. */
export async function attempts(id) {
  const { attempts } = await ask('GET', `/api/v1/jobs/${id}/attempts`);
  return attempts;
}

/** A job as it is now. */
export async function shown(id) {
  return ask('GET', `/api/v1/jobs/${id}`);
}

/** Waits until a job is in a state. */
export async function until(id, state) {
  await eventually(async () => (await shown(id)).state === state);
}

/** Logs the browser of a view in by its token. */
export async function logIn(view) {
  await view.go('/login');
  await view.page.getByLabel('Token').fill(token);
  await view.get('button', 'Log in').click();
  await view.reads('You are logged in.');
  // A list under the mouse takes no new rows.
  await view.page.mouse.move(0, 0);
}

async function ask(method, path, body) {
  const headers = { authorization: `Bearer ${token}`, ...body && { 'content-type': 'application/json' } };
  const answer = await fetch(new URL(path, process.env.ABACI_WEB_URL), { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}
