import { operationFailed } from '../failures.js'
import type { XmlElement } from '../xml/xml.js'
import { VolumeBytes } from './volume-bytes.js'

export class Volume {
  readonly bytes = new VolumeBytes()
  constructor(
    readonly definition: XmlElement,
    readonly name: string,
    readonly path: string,
    /** Bytes, as all sizes of storage. */
    public capacity: bigint,
    public allocation: bigint
  ) {}
  get key(): string {
    return this.path
  }
}

/** The error of storage drivers when a volume is there already. */
export const volumeExists = (): Error => operationFailed('storage vol already exists')
