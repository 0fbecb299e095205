/**
 * The pattern matching that libvirt uses for names (log sources, SASL names, certificates' names): over the whole
 * text, `*` is any run of characters, `?` exactly one, everything else stands for itself.
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  const parts = pattern.split(/\*+/).map(part => [...part])
  if (parts.length === 1) return text => fits(parts[0] ?? [], [...text], 0) && [...text].length === parts[0]?.length
  return text => matchesParts(parts, [...text])
}

/** Takes the first and last part at the ends and every other as early as it comes, which never needs a second try. */
function matchesParts(parts: readonly string[][], text: readonly string[]): boolean {
  const head = parts[0] ?? []
  const tail = parts.at(-1) ?? []
  const end = text.length - tail.length
  if (head.length > end || !fits(head, text, 0) || !fits(tail, text, end)) return false
  let at = head.length
  for (const part of parts.slice(1, -1)) {
    while (at + part.length <= end && !fits(part, text, at)) at++
    if (at + part.length > end) return false
    at += part.length
  }
  return true
}

const fits = (part: readonly string[], text: readonly string[], at: number): boolean =>
  part.every((char, index) => text[at + index] === char || (char === '?' && at + index < text.length))
