import type { PeerName } from '../peers/peers.js'

/** The same peer has the same colour in every plot. */
export const COLOURS: Record<PeerName, string> = {
  virtbroker: '#1f6feb',
  base: '#7a52c7',
  haproxy: '#d9822b',
  libvirtd: '#c0392b',
  direct: '#2e9e6b'
}
