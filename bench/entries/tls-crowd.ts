import type { Stage } from '../bench.js'
import { makeClientCertificates } from '../peers/certificates.js'
import { inTurns } from '../rounds.js'
import { callingBeside, noneAndMost, recordConnections, withCrowds, type CrowdWish } from './crowds.js'
import { TEST_URI, type Entry } from './entry.js'

const CERTIFICATES = 'idle certificates'
const CALLERS = 16

/** Each comes over TLS, with a certificate that nobody else has. */
async function fill(stage: Stage, clients: number): Promise<void> {
  if (clients === 0) return
  for (const peer of stage.peers) {
    const { address, name } = peer.target(TEST_URI)
    if (!('tls' in address) || stage.certificates === undefined) throw new Error(`${peer.name} does not listen for TLS`)
    const load = stage.load()
    for (const own of makeClientCertificates(stage.directory, stage.certificates, clients)) {
      await load.open({ name, address: { ...address, tls: { confirmation: true, own } } }, 1)
    }
  }
}

const idle: CrowdWish = {
  callers: CALLERS,
  stage: () => ({ peers: ['virtbroker'], tls: { bothSides: true, bits: 2048 } }),
  fill
}

/** As `crowd`, over TLS: nobody shares with those who are idle, as the daemon is told their certificates. */
export const tlsCrowd: Entry = {
  name: 'tls-crowd',
  claim: 'Idle clients over TLS do not slow down those that call, however many certificates they have.',
  goals: [{ figure: 'rate', against: { [CERTIFICATES]: 0 }, limit: 0.8 }],
  run: bench => withCrowds(bench, noneAndMost(bench), idle, async crowds => {
    await inTurns(bench, {}, callingBeside(crowds, CERTIFICATES, CALLERS))
    recordConnections(bench, crowds, CERTIFICATES)
  })
}
