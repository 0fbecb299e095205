import type { LogKind } from '../../workers/base/log-kinds.js'
import { ENDS } from '../../workers/thread/metric-families.js'
import { WHY } from '../../workers/thread/why.js'

type End = (typeof ENDS)[number]

/** By the kind of what the log says of it. */
const BY_KIND: Readonly<Partial<Record<LogKind, End>>> = {
  'client-silent': 'silent',
  'client-stalled': 'stalled',
  'login-late': 'login',
  'too-many-logins': 'login',
  'calls-before-login': 'login',
  'tls-handshake-failed': 'tls',
  'tls-connection-failed': 'tls',
  'protocol-violation': 'violation',
  'proxy-header-refused': 'violation',
  'sasl-layer-broken': 'violation',
  'client-memory': 'resources',
  'client-descriptors': 'resources',
  'driver-died': 'driver',
  'internal-failure': 'failure'
}

/** More may stand behind it. */
const BY_TEXT: readonly (readonly [begin: string, End])[] = [
  [WHY.stops, 'stop'],
  [WHY.shutdown, 'stop'],
  [WHY.administrator, 'administrator'],
  [WHY.makesRoom, 'displaced'],
  [WHY.certificate, 'tls']
]

/** Index of why a client has gone, for the metrics. `kind`, `why`: what the log is told. */
export const endOf = (kind: LogKind, why: string): number => ENDS.indexOf(BY_KIND[kind] ?? byText(why) ?? 'client')

const byText = (why: string): End | undefined => BY_TEXT.find(([begin]) => why.startsWith(begin))?.[1]
