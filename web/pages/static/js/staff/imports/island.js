/** The three steps of an import: the chosen file, the check without a change, and the import of the valid rows. */
import { Problem } from '../../core/api.js';
import { _, ngettext } from '../../core/i18n.js';
import { shortTime } from '../../core/time.js';
import { useEffect, useRef, useState } from '../../../vendor/hooks.js';
import { render } from '../../../vendor/preact.js';
import { Banner, html, Icon } from '../html.js';
import { poll, upload } from '../upload.js';
import { FailedRows, download, withCells } from './failed-rows.js';
import { ENCODINGS, ERROR_COLUMN, isKnown, openFile, readTable, rowsInWords, sizeOf } from './file.js';

const DELIMITER_NAMES = { ',': _('Comma'), ';': _('Semicolon'), '\t': _('Tab'), '|': _('Bar') };
/** The progress of an import at which all rows are checked. */
const CHECKING_SHARE = 0.5;
const isDone = (job) => ['done', 'checked', 'failed'].includes(job.status);
/** Ids are UUIDs of version 7, which begin with the time in milliseconds. */
const madeAt = (id) => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);

/** @param {HTMLElement} element with data-org-id, data-base, data-columns @returns {(file: File) => void} opens a file */
export function mount(element) {
  const { orgId, base, columns } = element.dataset;
  let number = 0;
  return (file) => {
    number += 1;
    render(html`<${Import} key=${number} file=${file} orgId=${orgId} base=${base} known=${columns.split(' ')} />`, element);
  };
}

/** @param {{file: File, orgId: string, base: string, known: string[]}} properties */
function Import({ file, orgId, base, known }) {
  const path = `/api/organizations/${orgId}/qr-codes/import`;
  const [head, setHead] = useState(/** @type {any} */ (null));
  const [table, setTable] = useState(/** @type {any} */ (null));
  const [isConverted, setConverted] = useState(false);
  const [work, setWork] = useState(/** @type {any} */ (null));
  const [checked, setChecked] = useState(/** @type {any} */ (null));
  const [imported, setImported] = useState(/** @type {any} */ (null));
  const [problem, setProblem] = useState('');
  const again = useRef('');
  const isAsking = head && head.encoding !== 'utf-8' && !isConverted;

  const read = async (found) => {
    const result = await readTable(found);
    if (typeof result === 'string') setProblem(result);
    else setTable(result);
  };
  useEffect(() => {
    openFile(file, known).then((found) => {
      if (typeof found === 'string') return setProblem(found);
      setHead(found);
      if (found.encoding === 'utf-8' && !found.problems.length) return read(found);
    }).catch(() => setProblem(_('This file cannot be read. Choose it again.')));
  }, []);

  /** Send the file. Return the import, or null if the page has shown why there is none. */
  const send = async (query, headers = {}) => {
    setProblem('');
    setWork({ share: 0, isUpload: true });
    try {
      const { content: job, isReplay } = await upload(`${path}?partial=true${query}`, table.blob, {
        headers: { 'Content-Type': 'text/csv', ...headers },
        onProgress: (share) => setWork({ share, isUpload: share < 1 }),
      });
      if (isDone(job) || isReplay) return { ...job, isReplay };
      if (!query) {
        location.assign(`${base}/codes/imports/${job.id}`);
        return null;
      }
      return await poll(job.status_url, isDone, ({ progress }) => setWork({ share: Math.min(1, progress / CHECKING_SHARE) }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(sentenceOf(error, file));
      return null;
    } finally {
      setWork(null);
    }
  };
  const check = async () => {
    const job = await send('&dry_run=true');
    if (job) setChecked({ ...job, rows: withCells(table, job.rows.filter(({ status }) => status === 'failed')) });
  };
  const add = async () => {
    // The digest names the content, so a repeated click adds nothing. Another organization, or a wanted repetition, needs
    // another key.
    const job = await send('', { 'Idempotency-Key': `import-${orgId}-${table.digest}${again.current}` });
    if (job) setImported(job);
  };
  const addAgain = () => {
    again.current = `-${Date.now()}`;
    setImported(null);
    add();
  };

  if (imported) return html`<${Imported} job=${imported} base=${base} addAgain=${addAgain} />`;
  const step = checked ? 2 : 1;
  return html`
    <div class="stack sections">
      <${Steps} step=${step} />
      ${problem && html`<${Banner} tone="bad" icon="circle-x" role="alert">${problem}</${Banner}>`}
      <section class="card stack" aria-labelledby="file-heading" aria-busy=${String(Boolean(work))}>
        <h2 id="file-heading" class="file-name">${file.name}</h2>
        ${head && html`<${Facts} head=${head} table=${table} isConverted=${isConverted} known=${known} />`}
        ${isAsking && html`
          <${Banner} tone="held" icon="languages">
            <p>${_('This file looks like %(encoding)s. Convert to UTF-8?', { encoding: ENCODINGS[head.encoding] })}</p>
            ${head.samples.length > 0 && html`<p>${_('It then reads:')} ${head.samples.map((sample) => html`<q>${sample}</q> `)}</p>`}
            ${!head.problems.length && html`<button type="button" class="button" onClick=${() => (setConverted(true), read(head))}>${_('Convert to UTF-8')}</button>`}
          </${Banner}>`}
        ${head?.problems.map((text) => html`<${Banner} tone="bad" icon="circle-x" role="alert">${text}</${Banner}>`)}
        ${work && html`<${Work} work=${work} />`}
        ${table && !checked && html`<div class="row">
          <button type="button" class="button button-primary" aria-busy=${work ? 'true' : null} onClick=${() => work || check()}><span>${_('Check file')}</span></button>
          <span class="hint">${_('Nothing is added yet.')}</span></div>`}
        ${checked && html`<${Checked} job=${checked} table=${table} isBusy=${work} onImport=${() => work || add()} name=${file.name} />`}
      </section>
      ${checked && checked.rows.length > 0 && html`<${FailedRows} rows=${checked.rows} />`}
    </div>`;
}

function Steps({ step }) {
  const names = [_('File'), _('Check'), _('Import')];
  return html`<ol class="import-steps">${names.map((name, index) => html`
    <li class=${index < step ? 'is-done' : ''} aria-current=${index === step ? 'step' : null}><span class="import-step" aria-hidden="true">${index + 1}</span>${name}</li>`)}</ol>`;
}

function Facts({ head, table, isConverted, known }) {
  const encoding = isConverted ? _('%(encoding)s, converted to UTF-8', { encoding: ENCODINGS[head.encoding] }) : ENCODINGS[head.encoding];
  return html`
    <dl class="facts">
      <dt>${_('Size')}</dt><dd>${sizeOf(head.file.size)}${table ? ` · ${rowsInWords(table.rows)}` : ''}</dd>
      <dt>${_('Encoding')}</dt><dd>${encoding}</dd>
      <dt>${_('Delimiter')}</dt><dd>${DELIMITER_NAMES[head.delimiter]}</dd>
      <dt>${_('Columns')}</dt><dd class="column-names">${head.columns.map((column) => html`
        <code class=${isKnown(column, known) ? 'column-name' : 'column-name column-unknown'}>${column || '–'}</code> `)}
        ${head.columns.includes(ERROR_COLUMN) && html`<span class="hint">${_('The column error is left out.')}</span>`}</dd>
    </dl>`;
}

function Work({ work }) {
  const label = work.isUpload ? _('Uploading the file') : _('Checking the rows');
  const percent = Math.floor(100 * work.share);
  return html`<div class="stack-s" role="status">
    <div class="row between"><span>${label}</span><span>${_('%(percent)s%%', { percent })}</span></div>
    <progress class="progress" max="100" value=${percent} aria-label=${label}></progress></div>`;
}

function Checked({ job, table, isBusy, onImport, name }) {
  const valid = job.total - job.failed;
  const heading = useRef(/** @type {any} */ (null));
  useEffect(() => heading.current?.focus(), []);
  const failed = ngettext('%(num)s row cannot be imported.', '%(num)s rows cannot be imported.', job.failed);
  return html`
    <div class="stack">
      <h3 tabindex="-1" ref=${heading}>${job.failed ? failed : ngettext('%(num)s row is valid.', 'All %(num)s rows are valid.', job.total)}</h3>
      ${job.failed > job.rows.length && html`<p class="hint">${_('The first %(listed)s of them are listed.', { listed: job.rows.length })}</p>`}
      ${job.message && html`<${Banner} tone="bad" icon="circle-x">${job.message}</${Banner}>`}
      <div class="row">
        ${valid > 0 && !job.message && html`<button type="button" class="button button-primary" aria-busy=${isBusy ? 'true' : null} onClick=${onImport}><span>${ngettext('Import %(num)s valid row', 'Import %(num)s valid rows', valid)}</span></button>`}
        ${job.rows.length > 0 && html`<button type="button" class="button" onClick=${() => download(table, job.rows, name.replace(/(\.\w+)?$/, '-failed.csv'))}><${Icon} name="download" /><span>${_('Download failed rows')}</span></button>`}
      </div>
      ${job.failed > 0 && html`<p class="hint">${_('Correct the failed rows in your file, or in the download, and choose it again.')}</p>`}
    </div>`;
}

function Imported({ job, base, addAgain }) {
  const heading = useRef(/** @type {any} */ (null));
  useEffect(() => heading.current?.focus(), []);
  const { isReplay } = job;
  const ids = job.rows.map(({ qr_id: id }) => id).filter(Boolean);
  const carry = () => sessionStorage.setItem('waymark-selection', JSON.stringify({ ids }));
  return html`
    <div class="stack sections">
      <${Steps} step=${3} />
      <section class="card stack">
        <h2 tabindex="-1" ref=${heading}>${isReplay
          ? _('This file was imported before, on %(time)s. Nothing was added now.', { time: shortTime(madeAt(job.id)) })
          : ngettext('%(num)s code added.', '%(num)s codes added.', job.done)}</h2>
        ${!isReplay && job.failed > 0 && html`<p>${ngettext('%(num)s row failed.', '%(num)s rows failed.', job.failed)}</p>`}
        <div class="row">
          <a class="button button-primary" href=${`${base}/codes`}>${_('View codes')}</a>
          ${!isReplay && ids.length > 0 && ids.length === job.done && html`<a class="button" href=${`${base}/renders/new?output=label_sheet`} onClick=${carry}><${Icon} name="printer" /><span>${_('Print these codes')}</span></a>`}
          ${isReplay && html`<a class="button" href=${`${base}/codes/imports/${job.id}`}>${_('Show that import')}</a>`}
          ${isReplay && html`<button type="button" class="button" onClick=${addAgain}>${_('Import it again')}</button>`}
        </div>
      </section>
    </div>`;
}

/** Return what a person with a spreadsheet understands. @param {Problem} problem @param {File} file */
function sentenceOf(problem, file) {
  if (problem.status === 415) return _("That isn't a CSV file.");
  if (problem.status === 413) return _('This file is %(size)s. The limit is %(limit)s MB.', { size: sizeOf(file.size), limit: 64 });
  const messages = problem.errors.map(({ loc, message }) => {
    const line = /^body\.lines\.(\d+)/.exec(loc)?.[1];
    return line ? _('Line %(line)s: %(message)s', { line, message }) : message;
  });
  return messages.join(' ') || problem.message;
}
