import type { ClientActivity } from '../thread/client-record.js'
import { TlsTransport } from '../tls/tls-transport.js'
import type { CallFlow } from './call-flow.js'
import type { ClientSide } from './client-side.js'

/** What a client does now, for an administrator. `uri`, `driver`: what it has opened, and the socket where. */
export function activityOf(client: ClientSide, flow: CallFlow, uri: string, driver: string | undefined): ClientActivity {
  const { transport, keepalive } = client
  return {
    driver,
    uri,
    callsInFlight: flow.calls.size,
    callsWaiting: flow.waiting,
    streams: flow.streams.size,
    bytesIn: transport.bytesIn,
    bytesOut: transport.bytesOut,
    idleMs: keepalive.clock.now - keepalive.heardAt,
    tls: transport instanceof TlsTransport ? transport.protection : undefined
  }
}
