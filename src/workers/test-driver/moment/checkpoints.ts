import type { Definition } from '../domain/definition.js'
import { noCheckpoint } from '../failures.js'
import type { XmlElement } from '../xml/xml.js'
import { Moments, type Moment } from './moments.js'

/** It marks a point of time of a running domain. */
export interface Checkpoint extends Moment {
  description: string | undefined
  created: number
  disks: XmlElement | undefined
  domain: Definition
}

/** No checkpoints yet. */
export const newCheckpoints = (): Moments<Checkpoint> =>
  new Moments(name => noCheckpoint(`no domain checkpoint with matching name '${name}'`))
