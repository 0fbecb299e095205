import { booleanParam, intParam, stringParam, type TypedParam } from '../../protocol/typed-params.js'
import type { ClientRecord } from '../../workers/thread/client-record.js'

/** What libvirt tells of a client, in its order; what is not known is left out. */
export function clientInfo({ listener, peer, identity }: ClientRecord): TypedParam[] {
  const text = (field: string, value: string | undefined): TypedParam[] => (value === undefined ? [] : [stringParam(field, value)])
  const number = (field: string, value: number | undefined): TypedParam[] => (value === undefined ? [] : [intParam(field, value)])
  return [
    booleanParam('readonly', listener.readonly),
    ...text('sasl_user_name', identity.saslUserName),
    ...text('sock_addr', peer),
    ...text('tls_x509_dname', identity.x509DistinguishedName),
    ...number('unix_user_id', identity.userId),
    ...text('unix_user_name', identity.userName),
    ...number('unix_group_id', identity.groupId),
    ...text('unix_group_name', identity.groupName),
    ...number('unix_process_id', identity.processId),
    ...text('selinux_context', identity.selinuxContext)
  ]
}
