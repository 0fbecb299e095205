import { connect, type NetConnectOpts } from 'node:net'

/** Whether somebody accepts connections on this UNIX path or TCP port of 127.0.0.1. */
export function canConnect(where: string | number): Promise<boolean> {
  const options: NetConnectOpts = typeof where === 'string' ? { path: where } : { host: '127.0.0.1', port: where }
  return new Promise(resolve => {
    const socket = connect(options)
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => { resolve(false) })
  })
}
