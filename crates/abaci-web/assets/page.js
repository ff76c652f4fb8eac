// Looks again at what has changed. Everything works without it.
//
// Events say that something changed: states and progress are patched at once, and at most once a second the page is fetched
// from its own address and its regions, [data-live], are changed where they differ. A region that holds the focus, an open
// menu, the mouse or a marked row keeps its parts: only those that are the same by [data-key] change.
// Every ten seconds it looks in any case: ages grow, and no event tells of queues or of deleted jobs.

const PAUSE_MS = 1000;
// What is slow to make is asked for less often.
const PAUSE_SHARE = 4;
const $ = (selector, of = document) => of.querySelector(selector);
const $$ = (selector, of = document) => [...of.querySelectorAll(selector)];
const live = $('#live');
const outage = $('#outage');
// As class_of in page/words.rs has them; every other state is idle.
const CLASSES = { succeeded: 'ok', running: 'busy', busy: 'busy', failed: 'bad', parked: 'bad', gone: 'bad', draining: 'warn', delayed: 'warn', silent: 'warn' };

// Nothing changes under a pressed button, or the click would miss it.
let isPressed = false;
let isWaiting = false;
let isHeard = false;
let isFetching = false;
let isStale = false;
let pause = PAUSE_MS;

function say(words, kind) {
  if (live.textContent === words) return;
  const span = document.createElement('span');
  span.className = kind;
  span.textContent = words;
  live.replaceChildren(span);
}

// ---- regions

const holdsFocus = (part) => part.contains(document.activeElement) && document.activeElement !== document.body;
const isHeld = (part) => holdsFocus(part)
  || part.matches(':hover') && part.matches('[data-hold], [data-hold] *') && matchMedia('(hover: hover)').matches
  || !!$('details[open], input:checked', part) || holdsSelection(part);

function holdsSelection(part) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(part, true);
}

// Makes a part as the server writes it now; elements stay, and the one with the focus stays where it is.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType === Node.TEXT_NODE && fresh.nodeType === Node.TEXT_NODE) { old.data = fresh.data; return; }
  if (old.nodeName !== fresh.nodeName || old.nodeType !== Node.ELEMENT_NODE) {
    if (holdsFocus(old)) old.before(fresh);
    else old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if ([...fresh.children].some((part) => part.dataset.key)) morphKeyed(old, fresh);
  else morphInOrder(old, fresh);
}

function morphInOrder(old, fresh) {
  let at = old.firstChild;
  for (const part of [...fresh.childNodes]) {
    const next = at?.nextSibling;
    if (at) morph(at, part);
    else old.append(part);
    at = next;
  }
  while (at) {
    const next = at.nextSibling;
    if (!holdsFocus(at)) at.remove();
    at = next;
  }
}

// Ages change all the time, and mostly nothing else does.
function age(old, fresh) {
  const times = $$('time', fresh);
  $$('time', old).forEach((time, place) => {
    const other = times[place];
    if (other?.dateTime === time.dateTime && other.textContent !== time.textContent) time.textContent = other.textContent;
  });
}

function morphKeyed(old, fresh) {
  const stay = new Set([...fresh.children].map((part) => part.dataset.key));
  for (const part of [...old.children]) if (!stay.has(part.dataset.key)) part.remove();
  const parts = new Map([...old.children].map((part) => [part.dataset.key, part]));
  let at = old.firstElementChild;
  for (const part of [...fresh.children]) {
    const same = parts.get(part.dataset.key);
    if (!same) { old.insertBefore(part, at); continue; }
    if (same === at) at = at.nextElementSibling;
    else old.insertBefore(same, at);
    age(same, part);
    morph(same, part);
  }
}

// Tells whether all of a region is as the server writes it.
function update(old, fresh) {
  if (!isHeld(old)) { morph(old, fresh); return true; }
  const parts = new Map($$('[data-key]', fresh).map((part) => [part.dataset.key, part]));
  // What is within another part comes with that one.
  const isOutermost = (part) => !part.parentElement.closest('[data-key]');
  for (const part of $$('[data-key]', old)) {
    const other = parts.get(part.dataset.key);
    if (other && isOutermost(part) && !holdsSelection(part)) morph(part, other);
  }
  return false;
}

function show(text) {
  const fresh = new DOMParser().parseFromString(text, 'text/html');
  let isWhole = true;
  for (const region of $$('[data-live]')) {
    const other = fresh.getElementById(region.id);
    if (!other) continue;
    if (!region.isEqualNode(other) && !update(region, other)) isWhole = false;
  }
  isStale = !isWhole;
  if (document.title !== fresh.title) document.title = fresh.title;
  ready();
}

async function look() {
  isWaiting = false;
  // What is heard during a fetch may be newer than its answer, so another look follows.
  if (document.hidden || isPressed || isFetching) { isStale = true; isHeard ||= isFetching; return; }
  const isAgain = isHeard;
  isHeard = false;
  isFetching = true;
  isStale = false;
  pause = PAUSE_MS;
  const began = performance.now();
  try {
    const address = new URL(location.href);
    address.searchParams.delete('did');
    // A redirection leads to another page, such as the login; a fetch that never ends would block all later looks.
    const answer = await fetch(address, { headers: { accept: 'text/html' }, redirect: 'error', signal: AbortSignal.timeout(15_000) });
    const text = await answer.text();
    // A refusal says nothing of how long the page takes when all is well again.
    if (answer.ok) pause = Math.max(PAUSE_MS, PAUSE_SHARE * (performance.now() - began));
    if (answer.ok && (document.hidden || isPressed)) isStale = true;
    else if (answer.ok) show(text);
    // The refusal has a page of its own, such as 404 for a deleted job; 429 and 5xx pass by themselves.
    else if (answer.status < 500 && answer.status !== 429) location.reload();
    else isStale = true;
  } catch {
    isStale = true;
  }
  isFetching = false;
  if (isAgain || isHeard) lookSoon();
}

// What is heard while a look is due comes after what the server may show then, which is up to a second old.
function lookSoon() {
  // A form or a refusal stays as it is.
  if (!$('[data-live]')) return;
  if (isWaiting) { isHeard = true; return; }
  isWaiting = true;
  setTimeout(look, pause);
}

function lookIfStale() {
  if (isStale) lookSoon();
}

// ---- events

const named = (id) => $$(`[data-job="${CSS.escape(id)}"]`);

function patchState(part, state) {
  const word = $('[data-state]', part);
  if (!word || word.textContent === state) return;
  word.textContent = state;
  word.className = `state ${CLASSES[state] ?? 'idle'}`;
}

function patchProgress({ id, share }) {
  if (share == null) return;
  for (const part of named(id)) {
    for (const bar of $$('progress', part)) bar.value = share;
    for (const words of $$('[data-percent]', part)) {
      words.textContent = words.textContent.replace(/^\d+ %/, `${Math.floor(share * 100)} %`);
    }
  }
}

function handle({ jobs, workers, reset }) {
  const watched = $('[data-watch-job]')?.dataset.watchJob;
  const running = workers.flatMap((worker) => worker.running);
  for (const job of jobs) for (const part of named(job.id)) patchState(part, job.state);
  running.forEach(patchProgress);
  for (const worker of workers) {
    const card = $(`[data-worker="${CSS.escape(worker.executor)}"]`);
    if (card) patchState(card, worker.state);
  }
  const isAbout = ({ id }) => id === watched;
  const isOwn = jobs.some(isAbout) || running.some(isAbout);
  // A job that waits has a place that others change.
  if (reset || !watched || isOwn || $('#now .why')) lookSoon();
}

let source;
let wasLost = false;

function listen() {
  source = new EventSource('/api/v1/events');
  source.onopen = () => {
    // What happened since the page was written is not told.
    say('live', 'on');
    lookSoon();
  };
  source.addEventListener('changes', ({ data }) => {
    recover();
    handle(JSON.parse(data));
  });
  source.addEventListener('outage', ({ data }) => {
    const at = new Date(JSON.parse(data).since_ms).toISOString().slice(11, 19);
    const words = `The database has not answered since ${at} UTC; buttons refuse. This goes away by itself.`;
    if (outage.textContent !== words) outage.textContent = words;
    outage.hidden = false;
    wasLost = true;
  });
  source.onmessage = recover;
  source.onerror = () => {
    say('reconnecting', 'off');
    // The browser comes back by itself, but not after a refusal.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

let reloading;

function recover() {
  if ($('[data-retry]')) reloading ??= setTimeout(() => location.reload(), 2000);
  if (!wasLost) return;
  wasLost = false;
  outage.hidden = true;
  outage.textContent = '';
  lookSoon();
}

// ---- marked rows

const boxes = () => $$('tbody input[name=id]');

function count() {
  const marked = boxes().filter((box) => box.checked).length;
  const all = $('[data-all]');
  if (all) {
    all.hidden = boxes().length === 0;
    all.checked = marked > 0 && marked === boxes().length;
    all.indeterminate = marked > 0 && !all.checked;
  }
  // Rows that stay because they are marked keep the buttons, though the server has none of them any more.
  const choice = $('#choice');
  if (choice) choice.hidden = boxes().length === 0;
  if ($('#selected')) $('#selected').textContent = marked ? `${marked} selected:` : 'Selected:';
  for (const button of $$('#choice button')) button.disabled = !marked;
}

document.addEventListener('change', ({ target }) => {
  if (target.matches('[data-all]')) for (const box of boxes()) box.checked = target.checked;
  count();
  lookIfStale();
});

// ---- copying, estimates, keys

function ready() {
  for (const button of $$('[data-copy]')) button.hidden = !navigator.clipboard;
  count();
}

document.addEventListener('click', async ({ target }) => {
  const button = target.closest?.('[data-copy]');
  if (button) {
    const words = button.textContent;
    await navigator.clipboard.writeText($(`#${button.dataset.copy}`).textContent);
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = words; }, 1500);
  }
  if (target.closest?.('[data-help]')) $('#help').showModal();
});

const form = $('#submit');
let estimating;

async function estimate() {
  const fields = new URLSearchParams(new FormData(form));
  fields.set('action', 'estimate');
  const part = $('#estimate');
  if (!fields.get('numbers').trim()) { part.replaceChildren(); return; }
  try {
    const answer = await fetch('/submit', { method: 'POST', body: fields, redirect: 'error' });
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const said = $$('#estimate > *, .error li, .error:not(ul)', fresh);
    part.replaceChildren(...said.map((from) => {
      const line = document.createElement('p');
      line.textContent = from.textContent;
      if (!answer.ok) line.className = 'error';
      return line;
    }));
  } catch { /* It is said when the form is sent. */ }
}

$('#file')?.addEventListener('change', async ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  // The server reads at most 1 MiB of a form (MAX_BODY_BYTES).
  $('#numbers').value = file.size < 1e6 ? await file.text() : '';
  target.setCustomValidity(file.size < 1e6 ? '' : 'The file has over 1 MB; send it in parts, or by POST /api/v1/jobs.');
  target.reportValidity();
  estimate();
});

form?.addEventListener('input', () => {
  clearTimeout(estimating);
  estimating = setTimeout(estimate, 400);
});

function step(by) {
  const links = $$('tbody tr[data-job] th a:first-of-type');
  const at = links.indexOf(document.activeElement);
  const next = links[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1)];
  next?.focus();
}

const KEYS = {
  '/': () => { const field = $('#q') ?? $('#find'); field.focus(); field.select(); },
  j: () => step(1),
  k: () => step(-1),
  c: () => $('[data-key-c]')?.focus(),
  r: () => $('[data-key-r]')?.focus(),
  x: () => $('input[name=id]', document.activeElement.closest('tr') ?? document.createElement('p'))?.click(),
  '?': () => $('#help').showModal(),
};

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.closest?.('input, textarea, select, dialog');
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

document.addEventListener('pointerdown', () => { isPressed = true; });
for (const name of ['pointerup', 'pointercancel', 'dragend']) {
  document.addEventListener(name, () => { isPressed = false; lookIfStale(); });
}
document.addEventListener('visibilitychange', lookIfStale);
document.addEventListener('focusout', lookIfStale);
document.addEventListener('pointerover', ({ target }) => { if (!target.closest?.('[data-hold]')) lookIfStale(); });
// A page that is kept for going back needs no stream; it listens again when it comes back.
addEventListener('pagehide', () => source.close());
addEventListener('pageshow', ({ persisted }) => { if (persisted) listen(); });

// Ages grow though nothing changes.
setInterval(lookSoon, 10_000);
for (const id of ['keys', 'from-file']) if ($(`#${id}`)) $(`#${id}`).hidden = false;
ready();
listen();
