// One page of a browser, and what it noticed.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

export class View {
  /** What went wrong, in words. */
  faults = [];
  /** What a scenario foresees, as patterns: the browser itself writes an error at each answer that is no success. */
  #foreseen = [];
  #require;

  constructor(page, origin, require) {
    this.page = page;
    this.origin = origin;
    this.#require = require;
    page.on('console', (message) => {
      if (message.type() === 'error') this.#note(`console: ${message.text()} (${message.location().url})`);
    });
    page.on('pageerror', (error) => this.#note(`exception: ${error.stack}`));
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== origin) this.#note(`request elsewhere: ${request.url()}`);
    });
  }

  /** Loads a path of the server and returns the answer. */
  async go(path) {
    return this.page.goto(new URL(path, this.origin).href);
  }

  /** Lets faults like this one pass from now on. */
  foresee(pattern) {
    this.#foreseen.push(pattern);
  }

  /** The elements of a role, by their accessible name. */
  get(role, name, options = {}) {
    return this.page.getByRole(role, { name, ...options });
  }

  /** Waits until an element of this role and name is there to be seen. */
  async sees(role, name, options) {
    await this.get(role, name, options).first().waitFor();
  }

  /** Waits until the text is there to be seen. */
  async reads(text) {
    await this.page.getByText(text).first().waitFor();
  }

  /** Marks the document that is shown. */
  async stays() {
    await this.page.evaluate(() => { window.isTheSame = true; });
  }

  /** Fails unless the marked document is still the one that is shown. */
  async assertStayed() {
    assert.ok(await this.page.evaluate(() => window.isTheSame), `${this.page.url()} was loaded again`);
  }

  /** Fails unless everybody can use the view as it is now: no finding of axe, and nothing wider than the window. */
  async audit() {
    if (!await this.page.evaluate(() => 'axe' in window)) {
      await this.page.evaluate(readFileSync(this.#require.resolve('axe-core/axe.min.js'), 'utf8'));
    }
    const { violations } = await this.page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
    const found = violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.html} ${node.failureSummary}`));
    assert.deepEqual(found, [], `axe on ${this.page.url()}`);
    const [width, room] = await this.page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(width <= room, `${this.page.url()} is ${width} px wide in a window of ${room} px`);
  }

  /** As audit, light and dark, wide and in a window of 320 px, which is that of a phone or of a zoom to 400 %. */
  async auditAllWays() {
    const { page } = this;
    const usual = page.viewportSize();
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      for (const size of [usual, { width: 320, height: 640 }]) {
        await page.setViewportSize(size);
        await this.audit();
      }
    }
    await page.emulateMedia({ colorScheme: null });
    await page.setViewportSize(usual);
  }

  assertFaultless() {
    assert.deepEqual(this.faults, [], `faults on ${this.page.url()}`);
  }

  #note(fault) {
    if (!this.#foreseen.some((pattern) => pattern.test(fault))) this.faults.push(fault);
  }
}
