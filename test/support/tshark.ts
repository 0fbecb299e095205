import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pcap, type Sent } from './pcap.js'

// Debian: tshark, and libvirt-wireshark for the dissector. A machine without them fails the tests that ask here.
function tshark(conversation: readonly Sent[], options: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'virtbroker-capture-'))
  try {
    const file = join(directory, 'conversation.pcap')
    writeFileSync(file, pcap(conversation))
    return execFileSync('tshark', ['-r', file, '-Y', 'libvirt', ...options], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
      maxBuffer: 64 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'pipe']
    })
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** What libvirt's own dissector reads in each frame, line by line without the indentation. */
export function dissect(conversation: readonly Sent[]): string[][] {
  const frames: string[][] = []
  for (const line of tshark(conversation, ['-O', 'libvirt']).split('\n')) {
    if (line === 'Libvirt') frames.push([])
    else if (/^( |\[Malformed)/.test(line)) frames.at(-1)?.push(line.trim())
  }
  return frames
}

/** One line a frame: `Prog=REMOTE Proc=AUTH_LIST Type=CALL Serial=0 Status=OK` */
export function summaries(conversation: readonly Sent[]): string[] {
  return tshark(conversation, ['-T', 'fields', '-e', '_ws.col.Info']).trimEnd().split('\n')
}
