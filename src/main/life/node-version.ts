/**
 * Ends a start with a Node that is too old, by being loaded: it would come to a stop somewhere else, without a word of
 * the reason. So it is the first thing that is loaded, imports nothing, and is written in what such a Node understands.
 */
const OLDEST = [20, 19]

/** What to tell of a version of Node, such as 18.20.4, or '' if we can run on it. */
export function tooOld(version: string): string {
  const parts = version.split('.')
  const major = Number(parts[0])
  const minor = Number(parts[1])
  if (major > OLDEST[0]! || (major === OLDEST[0] && minor >= OLDEST[1]!)) return ''
  return 'virtbroker needs Node.js ' + OLDEST.join('.') + ' or later; this is ' + version + ' (' + process.execPath + ')'
}

const complaint = tooOld(process.versions.node)
if (complaint !== '') {
  process.stderr.write(complaint + '\n')
  process.exit(1)
}
