export type TransportKind = 'unix' | 'tcp' | 'tls'
export type AuthMethod = 'none' | 'sasl' | 'polkit'

/** What a listener is for. Sockets for several addresses can be of one kind. */
export interface ListenerKind {
  /** For logs, and for the admin interface. */
  name: string
  transport: TransportKind
  readonly: boolean
  auth: AuthMethod
}
