// Writes ranges.tsv and order.txt beside this file: what npm's own `semver` says about many ranges and
// versions, for version_test.cc to agree with. Run with node; npm has to be installed.
//
//   ranges.tsv   RANGE (a JSON string) <tab> "invalid", or one 0 or 1 per version of order.txt: does it match
//   order.txt    versions, lowest first
'use strict';
const { execSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const root = execSync('npm root -g').toString().trim();
const semver = require(path.join(root, 'npm', 'node_modules', 'semver'));

const versions = [
  '0.0.0-0', '0.0.0', '0.0.1-alpha', '0.0.1', '0.0.2', '0.0.3', '0.1.0-rc.1', '0.1.0', '0.1.1', '0.1.5',
  '0.2.0-0', '0.2.0', '0.2.3', '0.9.9', '1.0.0-0', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta',
  '1.0.0-beta', '1.0.0-beta.2', '1.0.0-beta.11', '1.0.0-rc.1', '1.0.0', '1.0.1', '1.1.0', '1.2.0',
  '1.2.2', '1.2.3-alpha', '1.2.3-beta.2', '1.2.3-beta.10', '1.2.3', '1.2.4-rc.1', '1.2.4', '1.2.9',
  '1.3.0-0', '1.3.0', '1.9.0', '1.10.0', '2.0.0-0', '2.0.0-alpha', '2.0.0', '2.0.1', '2.3.4-pre',
  '2.3.4', '2.3.5', '2.4.0', '2.12.9', '2.13.0', '3.0.0-alpha.-1', '3.0.0-alpha.a-b', '3.0.0', '9.9.9',
  '10.0.0', '999998.999999.999999', '999999.999999.999999',
].sort(semver.compare);

const partials = ['0', '0.0', '0.0.0', '0.0.1', '0.1', '0.1.0', '0.2.3', '1', '1.0', '1.0.0', '1.2', '1.2.3',
  '1.2.3-beta.2', '0.0.1-alpha', '2.0.0-alpha', '2', '2.3.4', '1.x', '1.2.x', '1.X.X', '1.*', 'x', '*',
  '1.2.3+build', 'v1.2', '1.2.3-0', '1.0.0-rc.1'];
const operators = ['', '=', '>', '>=', '<', '<=', '^', '~', '~>', '>= ', '< ', '^ ', '~ ', '= '];

const ranges = new Set(['', ' ', '||', '1 || ', '|| 1.2.3', '>=2.0.0 <2.13.0', '>=2.0.0 <2.3.0', '^1.1 || ^2.0',
  '>1.0.0 <2.0.0 || >=2.3.4', '<0.0.0-0', '>=1.2.3-alpha <1.2.4', '>1.2.3-alpha', '1.2.3 1.2.3', '1.2.3 1.3.0',
  '^1.2 ^1.3', '~1.2.3 >1.2.3', '1.0.0 - 2.0.0', '1 - 2', '1.2 - 1.3.0', '1.2.3 - 2', '0.1 - x', 'x - 1',
  '1.2.3-beta.2 - 1.2.4', '1.0.0 - 2.0.0 || 3.0.0', ' 1.2.3 ', '\t>=1.0.0\t<1.3', '>=1.0.0||<0.1.0',
  '1.0.0-alpha || 2.0.0-alpha', '^1.0.0-alpha', '~0.0.1-alpha', '^0.1.0-rc.1', '>=1.2.4-rc.1 <2.0.0-0',
  '=2.3.4-pre', '>=0.0.0', '>=0.0.0-0', '>*', '<*', '>=*', '<=x', '>=1.2.3 || <1', '* ^1.2', '2.x || 0.x', '^=1.2.3', '~=1.2', '^ v1.2.3',
  // Not ranges.
  'abc', '1.2.3.4', '1.2.', '.1', '1..2', '-1', '1.2.3-', '1.2.3-01', '1.2.3+', '>>1', '=>1', '^^1', '~^1',
  '1.2-3', '1-2', '1.2.3 -', '- 1.2.3', '1 - 2 - 3', '1 2 - 3', '01.2.3', '1.02.3', '1 | 2', '1 |', '1,2', '!1.2.3',
  '1.2.3 foo', '>=1.2.3 <', '^', '>=', '<', '~', '=', 'latest', '1.2.3-é', '>=1.0.0 && <2.0.0', 'y', 'xx', '1.2.3 ||| 2',
  'vv1.2.3', 'v', '==1.2.3', '1.x.3', '>x.1', '1.a', '1.2.3-a..b', '*.1', '1.2.3 - ', 'x.x.x-alpha', '1.x.x-alpha', '1.x-alpha']);
for (const operator of operators) for (const partial of partials) ranges.add(operator + partial);

const out = path.dirname(path.resolve(__filename));
fs.writeFileSync(path.join(out, 'order.txt'), versions.join('\n') + '\n');
fs.writeFileSync(path.join(out, 'ranges.tsv'), [...ranges].map((range) => {
  const verdict = semver.validRange(range) === null
    ? 'invalid' : versions.map((version) => semver.satisfies(version, range) ? '1' : '0').join('');
  return `${JSON.stringify(range)}\t${verdict}`;
}).join('\n') + '\n');
