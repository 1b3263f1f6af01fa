/** The built UI. Only files found in its folder when it was listed are ever opened, so no path of a request reaches the file system. */

import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { HttpError } from './http-error.ts';

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
};

export interface StaticFile {
  readonly body: Buffer;
  readonly contentType: string;
  readonly etag: string;
  /** Its name holds a hash of its content. */
  readonly isImmutable: boolean;
}

export class StaticFiles {
  private readonly folder: string;
  private files = new Map<string, StaticFile>();
  private listedMs = 0;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The file of a request path; the page itself for paths that are the UI's own. Throws an HttpError 404 or 503. */
  async find(path: string): Promise<StaticFile> {
    await this.refresh();
    const file = this.files.get(path === '/' ? '/index.html' : path);
    if (file !== undefined) return file;
    // A missing script must not come back as a page: browsers would report a wrong type instead of a missing file.
    if (extname(path) !== '') throw new HttpError(404, 'there is no such file', 'reload the page');
    const page = this.files.get('/index.html');
    if (page === undefined)
      throw new HttpError(503, 'the UI is not built', 'run "npm run build"; the API under /api/v1 works without it');
    return page;
  }

  /** Lists the folder again when index.html was built anew. All files are kept in memory: the UI is a few hundred KB. */
  private async refresh(): Promise<void> {
    const builtMs = await modifiedMs(join(this.folder, 'index.html'));
    if (builtMs === this.listedMs) return;
    const files = new Map<string, StaticFile>();
    for (const path of builtMs === 0 ? [] : await listFiles(this.folder)) {
      files.set(`/${relative(this.folder, path).split(sep).join('/')}`, await readStatic(path));
    }
    this.files = files;
    this.listedMs = builtMs;
  }
}

/** 0 where there is no file. */
async function modifiedMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name));
}

async function readStatic(path: string): Promise<StaticFile> {
  const body = await readFile(path);
  const hash = createHash('sha256').update(body).digest('base64url').slice(0, 16);
  return {
    body,
    contentType: contentTypes[extname(path)] ?? 'application/octet-stream',
    etag: `"${hash}"`,
    isImmutable: /\/assets\/.+-[\w-]{8}\.\w+$/.test(path),
  };
}
