import { readdir, readFile } from 'node:fs/promises'
import type { OutgoingHttpHeaders } from 'node:http'
import type { Answer } from '../metrics/server.js'

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8', css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8', svg: 'image/svg+xml'
}

/** Nothing comes from elsewhere, or goes there, and no text becomes a program, or part of another page. */
export const SAFETY: OutgoingHttpHeaders = {
  'Content-Security-Policy': [
    'default-src \'none\'', 'script-src \'self\'', 'style-src \'self\'', 'connect-src \'self\'', 'img-src \'self\'',
    'base-uri \'none\'', 'form-action \'none\'', 'frame-ancestors \'none\'',
    'require-trusted-types-for \'script\'', 'trusted-types \'none\''
  ].join('; '),
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  'Referrer-Policy': 'no-referrer',
  'X-Frame-Options': 'DENY'
}

/** Files that browsers ask for together: their connections are wanted by others. */
const NOT_KEPT = { Connection: 'close' }

/** All files of the directory, from memory, by their paths; `index.html` is at `/`. */
export async function pageFiles(directory: URL): Promise<ReadonlyMap<string, Answer>> {
  const files = new Map<string, Answer>()
  for (const name of await readdir(directory)) {
    const contentType = TYPES[name.slice(name.lastIndexOf('.') + 1)]
    if (contentType === undefined) continue
    const body = await readFile(new URL(name, directory))
    const answered = { status: 200, contentType, body, headers: { ...SAFETY, ...NOT_KEPT } }
    files.set(name === 'index.html' ? '/' : `/${name}`, () => Promise.resolve(answered))
  }
  return files
}
