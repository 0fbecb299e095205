import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { REMOTE } from '#protocol/procedures.js'
import { XdrReader, XdrWriter } from '#protocol/xdr.js'
import type { Load } from '../load/load.js'
import type { Call } from '../load/orders.js'
import type { Peer } from '../peers/peers.js'
import { STORAGE_URI } from './entry.js'

/** A volume as calls name it: pool, name, key. */
export interface Volume {
  pool: string
  name: string
  key: string
}

/** Makes a pool over a new directory below `directory`, and a raw volume of `bytes` in it, with the load's client. */
export async function createVolume(load: Load, directory: string, bytes: number): Promise<Volume> {
  const place = path.join(directory, 'pool')
  mkdirSync(place, { recursive: true })
  const pool = `<pool type='dir'><name>bench</name><target><path>${place}</path></target></pool>`
  const made = new XdrReader(await body(load, REMOTE.storagePoolCreateXml, xdr => xdr.string(pool).u32(0)))
  const poolName = made.string()
  const poolUuid = made.fixed(16)
  const xml = `<volume><name>bench.raw</name><capacity>${bytes}</capacity></volume>`
  const inPool = (xdr: XdrWriter): XdrWriter => xdr.string(poolName).fixed(poolUuid).string(xml).u32(0)
  const reply = await body(load, REMOTE.storageVolCreateXml, inPool)
  const volume = new XdrReader(reply)
  return { pool: volume.string(), name: volume.string(), key: volume.string() }
}

/** The same crowds, each with such a volume at its peer's driver. */
export function withVolumes<Crowd extends { peer: Peer; load: Load }>(
  crowds: readonly Crowd[],
  bytes: number
): Promise<(Crowd & { volume: Volume })[]> {
  return Promise.all(crowds.map(async crowd => {
    const volume = await createVolume(crowd.load, crowd.peer.driver.directory, bytes)
    return { ...crowd, volume }
  }))
}

async function body(load: Load, procedure: number, write: (xdr: XdrWriter) => XdrWriter): Promise<Buffer> {
  return Buffer.from(await load.call({ procedure, body: write(new XdrWriter()).finish() }))
}

const transfer = (procedure: number, { pool, name, key }: Volume, bytes: number): Call => ({
  procedure,
  body: new XdrWriter().string(pool).string(name).string(key).u64(0n).u64(BigInt(bytes)).u32(0).finish()
})

export const download = (volume: Volume, bytes: number) =>
  ({ do: 'stream', direction: 'download', bytes, call: transfer(REMOTE.storageVolDownload, volume, bytes) }) as const

export const upload = (volume: Volume, bytes: number) =>
  ({ do: 'stream', direction: 'upload', bytes, call: transfer(REMOTE.storageVolUpload, volume, bytes) }) as const

/** The storage driver's name for this user. */
export const storageUri = (): string => (process.getuid?.() === 0 ? STORAGE_URI : 'storage:///session')
