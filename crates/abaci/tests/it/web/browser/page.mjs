// A scenario in a real Chromium: its views, the faults that they noticed, and its talk with the test that started it.
//
// A scenario fails at a step that throws, at its deadline, and at any fault that a view noticed and nobody foresaw: an error in
// the console, an exception of a script, a breach of the content security policy, a request to another origin. It then prints
// what it saw and saves a picture of each view in target/browser/failed/.
//
// The test answers questions: the scenario prints a line `? QUESTION`, and the next line of its standard input is the answer.

import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { View } from './view.mjs';

const TOOLS = new URL('../../../../../../target/browser/', import.meta.url);
const require = createRequire(TOOLS);
// Several times what the longest takes beside another on a slow machine.
const DEADLINE_MS = 150_000;
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run',
  '--no-proxy-server', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  // Nothing that a page names is looked up outside this machine.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'];

export const token = process.env.ABACI_WEB_TOKEN;
const name = basename(process.argv[1], '.mjs');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Runs a scenario and ends the process with its verdict. */
export async function scenario(run, { deadline_ms = DEADLINE_MS } = {}) {
  const { chromium } = require('playwright-core');
  const views = [];
  let verdict = 0;
  const browser = await chromium.launch({ executablePath: executable(), args: FLAGS });
  try {
    await within(deadline_ms, run((path, options) => open(browser, views, path, options)));
    for (const view of views) view.assertFaultless();
  } catch (error) {
    verdict = 1;
    console.error(error);
    await Promise.all(views.map((view, number) => report(view, number)));
  }
  await within(5_000, browser.close()).catch(() => {});
  process.exit(verdict);
}

/** Asks the test and returns its answer. */
export async function ask(question) {
  console.log(`? ${question}`);
  const { value, done } = await lines.next();
  if (done) throw new Error(`the test went away at: ${question}`);
  return value;
}

/** Looks until the value is true, and returns it; the deadline is that of the scenario. */
export async function eventually(look) {
  for (;;) {
    const value = await look();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Opens a view in a browser profile of its own, or in that of `beside`, another view. */
async function open(browser, views, path, { beside, base = process.env.ABACI_WEB_URL, ...options } = {}) {
  const context = beside?.page.context()
    ?? await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const view = new View(page, new URL(base).origin, require);
  views.push(view);
  if (path) await view.go(path);
  return view;
}

async function report(view, number) {
  const pictures = fileURLToPath(new URL('failed/', TOOLS));
  mkdirSync(pictures, { recursive: true });
  const path = `${pictures}${name}-${number}.png`;
  const said = await within(5_000, view.page.screenshot({ path, fullPage: true }).then(() => view.page.ariaSnapshot()))
    .catch((error) => `no picture: ${error.message}`);
  console.error(`${view.page.url()} (${path}):\n${said}\nfaults: ${JSON.stringify(view.faults, null, 1)}`);
}

async function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not done in ${ms} ms`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function executable() {
  const { execFileSync } = require('node:child_process');
  const names = [process.env.ABACI_CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'].filter(Boolean);
  const found = execFileSync('sh', ['-c', 'for n; do command -v "$n" && break; done; true', 'sh', ...names], { encoding: 'utf8' });
  if (!found) throw new Error(`none of ${names.join(', ')} is there; ./check installs it`);
  return found.trim();
}
