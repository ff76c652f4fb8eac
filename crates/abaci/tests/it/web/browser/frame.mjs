// The frame itself: each kind of fault is noticed on a page that has it, and none on a page without.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { scenario, eventually } from './page.mjs';

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src *";
const body = (inner, script = '') => `<!doctype html><html lang="en"><title>t</title><link rel="stylesheet" href="/style.css">
<main><h1>Frame</h1>${inner}</main>${script && `<script src="/${script}.js"></script>`}</html>`;
const FILES = {
  '/good': body('<p>good</p>', 'good'),
  '/console': body('', 'console'),
  '/exception': body('', 'exception'),
  '/inline': body('<p style="color: red">red</p>'),
  '/elsewhere': body('', 'elsewhere'),
  '/missing': body('', 'missing'),
  '/unlabelled': body('<input>'),
  '/pale': body('<p class="pale">pale</p>'),
  '/wide': body('<p class="wide">wide</p>'),
  '/style.css': '.pale { color: #ccc } .wide { width: 500px }',
  '/good.js': 'console.log("no fault")',
  '/console.js': 'console.error("oh")',
  '/exception.js': 'throw new Error("oh")',
  '/elsewhere.js': 'fetch("http://127.0.0.1:1/").catch(() => {})',
};
const TYPES = { css: 'text/css', js: 'text/javascript' };
const FAULTS = { console: /console: oh/, exception: /exception: .*oh/, inline: /Content Security Policy/, elsewhere: /request elsewhere/, missing: /404/ };

const server = createServer(({ url }, answer) => {
  const type = TYPES[url.split('.')[1]] ?? 'text/html; charset=utf-8';
  answer.writeHead(FILES[url] ? 200 : 404, { 'content-type': type, 'content-security-policy': POLICY }).end(FILES[url] ?? '');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const base = `http://127.0.0.1:${server.address().port}`;

await scenario(async (open) => {
  const good = await open('/good', { base });
  await good.auditAllWays();
  await good.sees('heading', 'Frame');
  for (const [path, fault] of Object.entries(FAULTS)) {
    const view = await open(`/${path}`, { base });
    await eventually(() => view.faults.some((seen) => fault.test(seen)));
    assert.throws(() => view.assertFaultless());
    view.foresee(/./);
    view.faults.length = 0;
  }
  const bad = await open('/unlabelled', { base });
  await assert.rejects(bad.audit(), /label/);
  await bad.go('/pale');
  await assert.rejects(bad.audit(), /color-contrast/);
  await bad.go('/wide');
  await bad.audit();
  await bad.page.setViewportSize({ width: 320, height: 640 });
  await assert.rejects(bad.audit(), /500 px wide|wide in a window of 320/);
  const plain = await open('/good', { base, javaScriptEnabled: false });
  await plain.sees('heading', 'Frame');
});
