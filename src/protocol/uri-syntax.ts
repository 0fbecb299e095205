/**
 * RFC 3986 as libvirt's client library reads and prints it (there it is libxml2 that does it). Not the URL class: that
 * one folds the case of schemes and keeps escapes which libvirt undoes.
 */

export interface ParsedUri {
  /** Empty for a relative reference such as `qemu`. */
  scheme: string
  user: string
  host: string
  port: string
  /** Path and fragment are unescaped: one character a byte (latin1). */
  path: string
  query: string
  fragment: string
}

const ESCAPE = '%[0-9A-Fa-f]{2}'
const NAME = `(?:[A-Za-z0-9._~!$&'()*+,;=-]|${ESCAPE})*`
const USER = `(?:[A-Za-z0-9._~!$&'()*+,;=:-]|${ESCAPE})*`
const PCHAR = `(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|${ESCAPE})`
const PATH = `(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|${ESCAPE})*`
const QUERY = `(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|${ESCAPE})*`
const AUTHORITY = `//(?:(${USER})@)?(\\[[0-9A-Fa-fv.:]+\\]|${NAME})(?::([0-9]*))?`
const TAIL = `(?:\\?(${QUERY}))?(?:#(${QUERY}))?`
// A path after an authority starts with a slash; without one it must not start with two.
const ABSOLUTE = new RegExp(
  `^([A-Za-z][A-Za-z0-9+.-]*):(?:${AUTHORITY}((?:/${PATH})?)|((?!//)${PATH}))${TAIL}$`
)
// The first part of a relative path has no colon.
const RELATIVE = new RegExp(`^(?:${AUTHORITY}(?:/${PATH})?|(?!//)(?:(?!:)${PCHAR})*(?:/${PATH})?)${TAIL}$`)

/** Longest URI that is looked at, in characters. The rest of the world stops at 8,000 or so. */
const MAX_URI = 65_536

/** Undefined when the text is no URI. */
export function parseUri(text: string): ParsedUri | undefined {
  if (text.length > MAX_URI) return undefined
  const parts = ABSOLUTE.exec(text)
  if (!parts) {
    const relative = RELATIVE.test(text)
    return relative ? { scheme: '', user: '', host: '', port: '', path: '', query: '', fragment: '' } : undefined
  }
  const [, scheme, user = '', host = '', port = '', path, rootless, query = '', fragment = ''] = parts
  return {
    scheme: scheme!,
    user: unescape(user),
    host: unescape(host),
    port,
    path: unescape(path ?? rootless ?? ''),
    query,
    fragment: unescape(fragment)
  }
}

/** Prints what has no host; always with `//`, so that `qemu:/system` becomes `qemu:///system`. */
export function formatLocalUri(uri: Pick<ParsedUri, 'scheme' | 'user' | 'path' | 'query' | 'fragment'>): string {
  const user = uri.user && `${escape(uri.user, /[A-Za-z0-9\-_.!~*'();:&=+$,]/)}@`
  const path = escape(uri.path, /[A-Za-z0-9\-_.!~*'()/;@&=+$,]/)
  const query = uri.query && `?${uri.query}`
  const fragment = uri.fragment && `#${escape(uri.fragment, /[A-Za-z0-9\-_.!~*'();/?:@&=+$,[\]]/)}`
  return `${uri.scheme}://${user}${path}${query}${fragment}`
}

/** One parameter of a query, unescaped (latin1 as above). */
export interface UriParameter {
  name: string
  value: string
}

/** `;` does not separate. A parameter without `=` has an empty value; one without a name is dropped. */
export function parseQuery(query: string): UriParameter[] {
  return query
    .split('&')
    .map(part => {
      const equals = part.indexOf('=')
      if (equals < 0) return { name: unescape(part), value: '' }
      return { name: unescape(part.slice(0, equals)), value: unescape(part.slice(equals + 1)) }
    })
    .filter(parameter => parameter.name !== '')
}

export function formatQuery(parameters: readonly UriParameter[]): string {
  const kept = /[A-Za-z0-9\-._~]/
  return parameters.map(({ name, value }) => `${escape(name, kept)}=${escape(value, kept)}`).join('&')
}

/** An unescaped part as text. */
export function textOf(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8')
}

// The C side ends a string at an escaped NUL, so what follows one never counts.
function unescape(text: string): string {
  const bytes = text.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  const nul = bytes.indexOf('\0')
  return nul < 0 ? bytes : bytes.slice(0, nul)
}

function escape(latin1: string, kept: RegExp): string {
  return [...latin1].map(char => (kept.test(char) ? char : `%${hexOf(char)}`)).join('')
}

const hexOf = (char: string): string => char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')
