// Reads what `vramscope export --perfetto` wrote with the importer of Chrome's own viewer, and holds it against the
// recording: no warning of the importer, each sample there at its time with its bytes, and of a merged file the events of
// the trace as many as in the trace alone.
//
//   pip download --no-deps torch-tb-profiler==0.4.3      # its wheel has trace_viewer_full.html, the viewer (BSD)
//   npm install playwright-core webcomponents.js@0.7.24  # the viewer needs the elements that browsers once had
//   node read-back.mjs VIEWER.html POLYFILL.js EXPORTED GPU.csv [TRACE]
//
// CHROMIUM names the browser; /usr/bin/chromium without it.
import { readFileSync, writeFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';

const [viewer, polyfill, exported, csv, trace] = process.argv.slice(2);

const text = (file) => {
  const bytes = readFileSync(file);
  return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
};
let failures = 0;
const fail = (what) => {
  failures += 1;
  process.exitCode = 1;
  if (failures <= 10) console.error(`failed: ${what}`);
};

/** What the viewer makes of a file: each process with its counters, and how many slices its threads have. */
const inPage = async (json) => {
  const model = new tr.Model();
  const options = new tr.importer.ImportOptions();
  options.trackDetailedModelStats = false;
  await new tr.importer.Import(model, options).importTraces([json]);
  const processes = Object.values(model.processes).map((process) => ({
    name: process.name,
    counters: Object.values(process.counters).map((counter) => ({
      name: counter.name,
      series: counter.series.map((series) => ({
        name: series.name,
        samples: series.samples.map((sample) => [sample.timestamp, sample.value]),
      })),
    })),
    slices: Object.values(process.threads).reduce((sum, thread) => sum + thread.sliceGroup.length, 0),
  }));
  return { warnings: model.importWarnings.map((warning) => warning.message), processes };
};

const page = readFileSync(viewer, 'utf8').replace(/<head[^>]*>/, (head) => `${head}<script>${text(polyfill)}</script>`);
const place = join(mkdtempSync(join(tmpdir(), 'viewer-')), 'viewer.html');
writeFileSync(place, page);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
const open = async () => {
  const tab = await browser.newPage({ viewport: { width: 1600, height: 1300 } });
  await tab.goto(`file://${place}`);
  return tab;
};
const tab = await open();
const json = text(exported);
const read = await tab.evaluate(inPage, json);

const [head, ...rows] = readFileSync(csv, 'utf8').trimEnd().split('\n').map((line) => line.split(','));
const [at, gpu, used] = ['timestamp_ns', 'gpu_index', 'used_bytes'].map((name) => head.indexOf(name));
const first = BigInt(rows[0][at]);
let samples = 0;
let zero;
for (const process of read.processes) {
  const index = /^vramscope: GPU (\d+)/.exec(process.name ?? '')?.[1];
  if (index === undefined) continue;
  const memory = process.counters.find((counter) => counter.name.endsWith('memory used')).series[0].samples;
  const wanted = rows.filter((row) => row[gpu] === index);
  if (memory.length !== wanted.length) fail(`GPU ${index} has ${memory.length} samples of ${wanted.length}`);
  zero ??= memory[0][0] - Number(BigInt(wanted[0][at]) - first) / 1e6;
  wanted.forEach((row, place) => {
    const [time, value] = memory[place];
    const late = Math.abs((time - zero) - Number(BigInt(row[at]) - first) / 1e6);
    // The viewer keeps milliseconds as floats: a trace's clock of months leaves a microsecond of them.
    if (late > 1e-3) fail(`sample ${place} of GPU ${index} is ${late} ms off`);
    if (value * 2 ** 30 !== Number(row[used])) fail(`sample ${place} of GPU ${index} is ${value} GiB of ${row[used]}`);
  });
  samples += memory.length;
}
if (samples === 0) fail('no samples');

let beside = '';
let known = [];
if (trace !== undefined) {
  const count = (model) => model.processes
    .filter((process) => !/^vramscope: /.test(process.name ?? ''))
    .reduce((sum, process) => sum + process.slices, 0);
  const original = await (await open()).evaluate(inPage, text(trace));
  const alone = count(original);
  known = original.warnings;
  if (alone !== count(read)) fail(`${count(read)} slices of the trace's ${alone}`);
  beside = `, beside ${alone} slices of the trace`;
}
// Traces have warnings of their own, as of flows whose beginning was not recorded.
if (read.warnings.length !== known.length) {
  read.warnings.filter((warning) => !known.includes(warning)).forEach((warning) => fail(`the importer warns: ${warning}`));
  fail(`the importer has ${read.warnings.length} warnings, and ${known.length} of the trace alone`);
}
const slices = read.processes.filter((process) => /^vramscope: /.test(process.name ?? ''))
  .reduce((sum, process) => sum + process.slices, 0);
console.log(`${samples} samples and ${slices} slices and instants read back${beside}`);
await browser.close();
