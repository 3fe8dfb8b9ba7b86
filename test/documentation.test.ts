/** What the documentation names exists: link targets, headings, npm scripts, and files of this repository. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('..', import.meta.url));
const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: repository }).sort();
const sources = globSync(['{src,dev,lib,bin,bench,scripts,test}/**/*.ts', '*.js'], {
  cwd: repository,
}).sort();
const { scripts } = JSON.parse(read('package.json')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

describe('documentation', () => {
  it('The documentation links only to files that exist and to headings that these contain', () => {
    const links = pages.flatMap((page) =>
      matches(page, /\]\((?![a-z]+:)([^)\s]+)\)/g).map((link) => ({ page, link })),
    );
    assert.ok(links.length > 50, `${links.length} links found`);
    assert.deepEqual(links.filter(({ page, link }) => !isReachable(page, link)).map(describeLink), []);
  });

  it('The documentation names only npm scripts that package.json defines', () => {
    const named = pages.flatMap((page) => matches(page, /npm run ([a-z][\w:-]*)/g));
    assert.ok(named.length > 20, `${named.length} scripts found`);
    assert.deepEqual(
      named.filter((name) => !(name in scripts)),
      [],
    );
  });

  it('The documentation names only files and folders of the repository that exist', () => {
    // CHANGELOG.md may name what a later version has removed.
    const named = pages
      .filter((page) => page !== 'CHANGELOG.md')
      .flatMap((page) =>
        matches(page, /`((?:src|test|dev|lib|bin|bench|scripts|docs)\/[\w./-]*)`/g).map((path) => ({
          page,
          path,
        })),
      );
    assert.ok(named.length > 50, `${named.length} paths found`);
    assert.deepEqual(
      named.filter(({ path }) => !existsSync(join(repository, path))),
      [],
    );
  });

  it('The documentation has every page that a comment in the code refers to', () => {
    const named = sources.flatMap((file) =>
      matches(file, /\b(docs\/[\w./-]+\.md)\b/g).map((page) => ({ file, page })),
    );
    assert.ok(named.length > 10, `${named.length} references found`);
    assert.deepEqual(
      named.filter(({ page }) => !existsSync(join(repository, page))),
      [],
    );
  });
});

function read(path: string): string {
  return readFileSync(join(repository, path), 'utf8');
}

function matches(file: string, pattern: RegExp): string[] {
  return [...read(file).matchAll(pattern)].map(([, found = '']) => found);
}

function isReachable(page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? page : join(dirname(page), path);
  if (!existsSync(join(repository, target))) return false;
  return (
    anchor === undefined ||
    matches(target, /^#+ (.*)$/gm)
      .map(anchorOf)
      .includes(anchor)
  );
}

/** The anchor that GitHub gives a heading: lower case, without punctuation, hyphens for spaces. */
function anchorOf(heading: string): string {
  const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
  return text.replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');
}

function describeLink({ page, link }: { readonly page: string; readonly link: string }): string {
  return `${page}: ${link}`;
}
