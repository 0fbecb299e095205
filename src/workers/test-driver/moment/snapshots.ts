import { noSnapshot } from '../failures.js'
import type { Definition } from '../domain/definition.js'
import { Moments, type Moment } from './moments.js'
import type { XmlElement } from '../xml/xml.js'

export interface Snapshot extends Moment {
  /** State of the domain when it was taken, as the definition prints it: `running`, `shutoff`, … */
  state: string
  /** Seconds since 1970 */
  created: number
  description: string | undefined
  /** The domain as it was; a redefined snapshot may lack it. */
  domain: Definition | undefined
  memory: XmlElement
  disks: XmlElement | undefined
}

/** No snapshots yet. */
export const newSnapshots = (): Moments<Snapshot> =>
  new Moments(name => noSnapshot(`no domain snapshot with matching name '${name}'`))
