// Every view, for readers and for those who may change something: nothing that axe finds, light and dark, wide and at 320 px.

import { scenario } from './page.mjs';
import { logIn, submit, until } from './server.mjs';

await scenario(async (open) => {
  const [done] = await submit({ n: 5000, tag: 'night' });
  await until(done, 'succeeded');
  const [crashed] = await submit({ n: 40, algorithm: 'stepwise', fault: 'segfault@20' });
  await until(crashed, 'succeeded');
  const [cancelled] = await submit({ n: 50, algorithm: 'recursive' }, '?timeout=100ms');
  await until(cancelled, 'cancelled');
  const [running] = await submit({ n: 50, algorithm: 'recursive' });
  await until(running, 'running');
  const [waiting] = await submit({ n: 91 });

  const view = await open();
  view.foresee(/status of 40\d/);
  const audit = async (path) => {
    await view.go(path);
    await view.auditAllWays();
  };
  if (process.env.ABACI_AS === 'reader') {
    for (const path of ['/', '/jobs', `/jobs/${running}`, '/submit', '/queues', '/login', '/login?code=old', '/jobs/none']) await audit(path);
    return;
  }
  await logIn(view);
  for (const path of ['/', '/jobs?tag=night&state=succeeded', '/workers', '/queues', '/submit']) await audit(path);
  for (const id of [done, crashed, cancelled, running, waiting]) await audit(`/jobs/${id}`);
});
