import { CollectedCalls } from './collected-calls.js'
import type { DriverSharing } from '../thread/settings.js'
import type { Candidate, Way } from './driver-sockets.js'
import type { DriverOpening, Drivers, OpenedDriver, OpenOrder } from './drivers.js'
import type { Endpoint } from './endpoint.js'
import { GuestPort, type GuestServices } from './guest-port.js'
import { HeldReplies } from './held-replies.js'
import { isShareable, keyOf, sharedIdentity } from './shareable.js'
import { SharedDriver, type SharedDriverOwner, type SharedDriverServices } from './shared-driver.js'
import { SharedSocket } from './shared-socket.js'

/** What it needs of its thread. */
export interface PoolServices extends SharedDriverServices, Pick<GuestServices, 'turns' | 'counters'> {
  readonly settings: SharedDriverServices['settings'] & { readonly driverSharing: DriverSharing }
  readonly io: SharedDriverServices['io'] & GuestServices['io']
}

/** Sessions that share connections, and of them those that wait for room; shared connections with calls out, and without. */
export interface PoolFigures {
  readonly guests: number
  readonly waiting: number
  readonly busy: number
  readonly idle: number
}

/**
 * Driver daemons as a thread's sessions get at them: by connections that they share where that is wanted and possible, and
 * else each by one of its own.
 */
export class DriverPool implements Drivers, SharedDriverOwner {
  readonly drivers: Drivers
  readonly #services: PoolServices
  /** What guests have in common. */
  readonly #guests: GuestServices
  /** By `keyOf`; one that is being opened may stand there more than once. */
  readonly #shared = new Map<string, SharedDriver>()
  /** By path. */
  readonly #sockets = new Map<string, SharedSocket>()

  /** `drivers`: each session has a connection of its own there. */
  constructor(drivers: Drivers, services: PoolServices) {
    this.drivers = drivers
    this.#services = services
    const { turns, io, counters } = services
    this.#guests = { turns, io, counters, held: new HeldReplies(), collected: new CollectedCalls() }
  }

  get held(): HeldReplies {
    return this.#guests.held
  }

  get comebacks(): Drivers['comebacks'] {
    return this.drivers.comebacks
  }

  find(name: string | undefined, readonly: boolean): Way {
    return this.drivers.find(name, readonly)
  }

  open(order: OpenOrder): DriverOpening {
    const { driverSharing } = this.#services.settings
    if (driverSharing === 'off' || !isShareable(order.way)) return this.drivers.open(order)
    const driver = this.#driverFor(order, driverSharing)
    const guest = new GuestPort(order.user, driver, this.#guests)
    return { opened: opened(driver, guest, order), abandon: () => guest.close() }
  }

  #driverFor({ way, readonly, identity }: OpenOrder, sharing: DriverSharing): SharedDriver {
    const told = sharedIdentity(identity, sharing)
    const keys = way.candidates.map(candidate => keyOf(candidate, readonly, told))
    for (const key of keys) {
      const known = this.#shared.get(key)
      if (known !== undefined) return known
    }
    const driver = new SharedDriver(this, this.#services, { way, readonly, identity: told })
    for (const key of keys) this.#shared.set(key, driver)
    return driver
  }

  /** How many connections' worth of clients there are, by what they share. */
  get size(): number {
    return new Set(this.#shared.values()).size
  }

  /** What there is now. */
  get figures(): PoolFigures {
    const sum = { guests: 0, busy: 0, idle: 0, waiting: 0 }
    for (const driver of new Set(this.#shared.values())) {
      const { connections, waiting } = driver
      const busy = connections.filter(({ out }) => out > 0).length
      sum.guests += driver.guests.size
      sum.busy += busy
      sum.idle += connections.length - busy
      sum.waiting += waiting
    }
    return sum
  }

  endpoint(driver: SharedDriver, candidate: Candidate): Endpoint {
    const { way, readonly, identity } = driver.shared
    // Those who come later by another way to the same place are to find it.
    for (const other of way.candidates) if (other.path !== candidate.path) this.#forget(driver, keyOf(other, readonly, identity))
    let socket = this.#sockets.get(candidate.path)
    if (socket === undefined) this.#sockets.set(candidate.path, (socket = new SharedSocket()))
    return socket.endpoint(candidate.name)
  }

  unused(driver: SharedDriver): void {
    const { way, readonly, identity } = driver.shared
    for (const candidate of way.candidates) this.#forget(driver, keyOf(candidate, readonly, identity))
  }

  #forget(driver: SharedDriver, key: string): void {
    if (this.#shared.get(key) === driver) this.#shared.delete(key)
  }

  makeRoom({ candidates }: Way): void {
    for (const { path } of candidates) this.#sockets.get(path)?.tooIdle(0)?.goIdle()
  }

  endpointLeft({ path, name }: Candidate): void {
    if (this.#sockets.get(path)?.left(name) === true) this.#sockets.delete(path)
  }

  /** What is idle may be so for another time from now on, and as many as the settings say. */
  reconsider(): void {
    for (const driver of new Set(this.#shared.values())) driver.reconsider()
  }

  /** Closes what no session has. */
  stop(): void {
    for (const driver of new Set(this.#shared.values())) driver.stop()
  }
}

async function opened(driver: SharedDriver, guest: GuestPort, order: OpenOrder): Promise<OpenedDriver> {
  let candidate: Candidate
  try {
    candidate = await driver.open(guest, order.log)
  } catch (error) {
    guest.close()
    throw error
  }
  const asked = order.way.candidates.find(({ path, name }) => path === candidate.path && name === candidate.name)
  return {
    port: guest,
    source: guest,
    uri: (asked ?? candidate).uri!,
    candidate: asked ?? candidate,
    call: (proc, args, prog) => guest.call(proc, args, prog),
    serve: () => guest.serve()
  }
}
