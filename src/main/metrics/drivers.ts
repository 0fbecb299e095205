import type { DriverReach } from './driver-reach.js'
import { gauge, only, type Source } from './metric.js'

/** `connections`: how many there are to driver daemons. */
export const driverSource = (reach: DriverReach, connections: () => number): Source => async () => {
  const found = [...(await reach.look())]
  return [
    gauge(
      'driver_up', 'Whether somebody listens at the socket of a driver\'s daemon.',
      found.map(([driver, up]) => ({ labels: { driver }, value: up ? 1 : 0 }))
    ),
    gauge('driver_connections', 'Connections to driver daemons.', only(connections()))
  ]
}
