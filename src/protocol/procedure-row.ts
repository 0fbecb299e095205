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
/**
 * What a call leaves behind in the connection to the driver daemon that it came by, there to be gone when the connection
 * ends. `''`: an event, or a call that no driver daemon gets.
 *
 * - `nothing`: all that it changes belongs to the daemon.
 * - `stream`, `descriptors`: something that is over when the stream is, or the call.
 * - `registration`, `closeCallback`: what is deregistered with another call.
 * - `autodestroyFlag`: a guest that dies with the connection, if the flag VIR_DOMAIN_START_AUTODESTROY is set in the last
 *   word of the arguments; `autodestroy`: the same, wherever the flag stands.
 * - `migration`: a guard, or a guest, that ends when the connection does; `descriptorGroup`: the like.
 * - `unknown`: nobody has found out.
 * - `client`: the connection's own login, name and end, which a broker never passes on.
 */
export type Binds =
  | 'nothing' | 'stream' | 'descriptors' | 'registration' | 'closeCallback' | 'autodestroyFlag' | 'autodestroy'
  | 'migration' | 'descriptorGroup' | 'unknown' | 'client' | ''

/** What calls act on. `domain_name` is a domain of which only the name is told, `file` a file of the daemon's host. */
export type ObjectKind =
  | 'domain' | 'domain_name' | 'domain_snapshot' | 'domain_checkpoint' | 'network' | 'network_port' | 'interface'
  | 'storage_pool' | 'storage_vol' | 'node_device' | 'secret' | 'nwfilter' | 'nwfilter_binding' | 'file'
/** `ARGUMENTS>REPLY`: what stands at the head of each, if it is an object. Without `>` the reply has none. */
export type Objects = '' | ObjectKind | `>${ObjectKind}` | `${ObjectKind}>${ObjectKind}`

/** number, name, kind, priority, stream, owner, local, readonly, since, args, ret, descriptors, aclFilter, binds, object, pure, acl */
export type Row = readonly [
  number, string, Kind, Priority, StreamUse, Owner, 0 | 1, ReadonlyClass, string, 0 | 1, 0 | 1, Descriptors, string,
  Binds, Objects, 0 | 1, readonly string[]
]
