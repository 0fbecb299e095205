import type { XdrReader, XdrWriter } from '../../protocol/xdr.js'

// The object structs of the protocol (`remote_nonnull_*`), as they come from clients and go to them.

export interface DomainRef {
  name: string
  uuid: Buffer
  /** -1 unless running */
  id: number
}
export interface NamedRef {
  name: string
  uuid: Buffer
}
export interface VolumeRef {
  pool: string
  name: string
  key: string
}
export interface InterfaceRef {
  name: string
  mac: string
}
export interface SecretRef {
  uuid: Buffer
  usageType: number
  usageId: string
}
export interface SnapshotRef {
  name: string
  domain: DomainRef
}

export const readDomain = (xdr: XdrReader): DomainRef => ({ name: xdr.string(), uuid: xdr.uuid(), id: xdr.i32() })
export const writeDomain = (xdr: XdrWriter, dom: DomainRef): void =>
  void xdr.string(dom.name).fixed(dom.uuid).i32(dom.id)

/** Networks and storage pools look alike. */
export const readNamed = (xdr: XdrReader): NamedRef => ({ name: xdr.string(), uuid: xdr.uuid() })
export const writeNamed = (xdr: XdrWriter, object: NamedRef): void => void xdr.string(object.name).fixed(object.uuid)

export const readVolume = (xdr: XdrReader): VolumeRef => ({ pool: xdr.string(), name: xdr.string(), key: xdr.string() })
export const writeVolume = (xdr: XdrWriter, volume: VolumeRef): void =>
  void xdr.string(volume.pool).string(volume.name).string(volume.key)

export const readInterface = (xdr: XdrReader): InterfaceRef => ({ name: xdr.string(), mac: xdr.string() })
export const writeInterface = (xdr: XdrWriter, iface: InterfaceRef): void =>
  void xdr.string(iface.name).string(iface.mac)

export const readSecret = (xdr: XdrReader): SecretRef => ({
  uuid: xdr.uuid(),
  usageType: xdr.i32(),
  usageId: xdr.string()
})
export const writeSecret = (xdr: XdrWriter, secret: SecretRef): void =>
  void xdr.fixed(secret.uuid).i32(secret.usageType).string(secret.usageId)

export const readSnapshot = (xdr: XdrReader): SnapshotRef => ({ name: xdr.string(), domain: readDomain(xdr) })
export const writeSnapshot = (xdr: XdrWriter, snapshot: SnapshotRef): void => {
  writeDomain(xdr.string(snapshot.name), snapshot.domain)
}

export const writeString = (xdr: XdrWriter, text: string): void => void xdr.string(text)
export const readString = (xdr: XdrReader): string => xdr.string()

export { MAX_LIST, readParamRoom, readRoom } from '../../protocol/rooms.js'

/** The reply of the CONNECT_LIST_ALL_* family: without `wanted` only the count. */
export function writeList<T>(
  reply: XdrWriter,
  items: readonly T[],
  wanted: boolean,
  item: (xdr: XdrWriter, value: T) => void
): void {
  reply.array(wanted ? items : [], item).u32(items.length)
}
