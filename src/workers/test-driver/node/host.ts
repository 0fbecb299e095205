/** NODE_GET_INFO: memory in KiB. */
export interface NodeInfo {
  model: string
  memory: bigint
  cpus: number
  mhz: number
  nodes: number
  sockets: number
  cores: number
  threads: number
}

/** A NUMA cell of the pretended host. */
export interface Cell {
  /** KiB, as the capabilities print it */
  memory: bigint
  /** What NODE_GET_FREE_MEMORY adds up. */
  free: bigint
  cpus: number
}

export const DEFAULT_NODE: NodeInfo = {
  model: 'i686',
  memory: 3_145_728n,
  cpus: 16,
  mhz: 1400,
  nodes: 2,
  sockets: 2,
  cores: 2,
  threads: 2
}
