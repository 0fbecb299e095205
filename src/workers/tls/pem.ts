/**
 * The blocks of a PEM text with one of these labels, in their order, each as OpenSSL likes it. What stands around them
 * does not matter, nor how lines are broken and indented: files that were copied out of other documents come so.
 * `unreadable` tells a block that is not Base64, e.g. because it has headers.
 */
export function pemBlocks(text: string, labels: readonly string[]): PemBlock[] {
  const pattern = new RegExp(`-----BEGIN (${labels.join('|')})-----(.*?)(?=-----END )`, 'gs')
  return [...text.matchAll(pattern)].map(([, label = '', body = '']) => {
    const base64 = body.replace(/\s+/g, '')
    return {
      label,
      der: Buffer.from(base64, 'base64'),
      unreadable: !/^[A-Za-z0-9+/]+=*$/.test(base64),
      encrypted: label.startsWith('ENCRYPTED') || /^\s*Proc-Type:.*ENCRYPTED/.test(body)
    }
  })
}

export interface PemBlock {
  label: string
  der: Buffer
  /** It is not all Base64. */
  unreadable: boolean
  encrypted: boolean
}

/** A block as it should have been written. */
export const pemText = ({ label, der }: PemBlock): string =>
  `-----BEGIN ${label}-----\n${der.toString('base64').replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END ${label}-----\n`
