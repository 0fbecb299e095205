import { FAILED, HUNG_UP, READABLE, type Pollable } from '../../workers/os/poller.js'
import { ListenerPlaces } from './places.js'
import { WaitingConnections, type Waiting } from './waiting-connections.js'

/** What is known of one listener's connections. */
export class ListenerState extends ListenerPlaces {
  readonly waiting = new WaitingConnections<Arrival>()
  /** When somebody who waited last got a place that had become free by itself. */
  movedAt = -Infinity
  /** It accepts no more for now. */
  full = false
}

interface ArrivalHandler {
  /** It has something to say. */
  speaks(arrival: Arrival): void
  /** Its peer has gone. */
  gone(arrival: Arrival): void
}

/** A connection that waits for a place. What its client sees is what it would see in the backlog. */
export class Arrival implements Waiting, Pollable {
  slot = -1

  constructor(
    readonly handler: ArrivalHandler,
    readonly listener: ListenerState,
    readonly fd: number,
    readonly peer: string | undefined,
    readonly via: string | undefined,
    readonly owner: string,
    readonly counted: string | undefined,
    readonly since: number
  ) {}

  ready(events: number): void {
    if (events & (HUNG_UP | FAILED)) this.handler.gone(this)
    else if (events & READABLE) this.handler.speaks(this)
  }
}
