/** `event` goes from server to client and gets no reply. Keepalive's two messages are listed as events as well. */
export type Kind = 'call' | 'event'
/** `high`: never waits for a hypervisor. */
export type Priority = 'high' | 'low'
/** What the call opens if its reply is OK: `read` flows to the client, `write` from it; a console does both. */
export type StreamUse = 'none' | 'read' | 'write'
/** The driver connection that a daemon uses for the call; `any` means none. */
export type Owner =
  'hypervisor' | 'interface' | 'network' | 'nodedev' | 'nwfilter' | 'secret' | 'storage' | 'any'
/** On a read-only connection: `flags` is refused with some flags only, `''` stands for events. */
export type ReadonlyClass = 'allow' | 'deny' | 'flags' | ''
/** Which of the two messages has file descriptors behind it. */
export type Descriptors = 'none' | 'call' | 'reply' | 'both'

/** number, name, kind, priority, stream, owner, local, readonly, since, args, ret, descriptors, aclFilter, acl */
export type Row = readonly [
  number, string, Kind, Priority, StreamUse, Owner, 0 | 1, ReadonlyClass, string, 0 | 1, 0 | 1, Descriptors, string,
  readonly string[]
]
