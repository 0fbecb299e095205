/** How long and how large the entries are. */
export interface Scale {
  /** Times that every peer has its turn; figures are medians of them. */
  rounds: number
  /** After so many rounds driver and peers are started anew, where a few per cent matter. */
  roundsPerStart: number
  /** No further round is begun when an entry has taken this long; of each point there is at least one. */
  entryMs: number
  /** Measured part of a turn, the unmeasured one before it, and that before the first turn, in milliseconds. */
  sliceMs: number
  leadMs: number
  warmMs: number
  /** Sizes of the crowds for small calls. */
  clients: readonly number[]
  /** Steps of the idle crowd; memory is the slope through them. */
  idleSteps: readonly number[]
  /** That come at once: all peers', and more with shared driver connections. */
  stormClients: readonly number[]
  /** That each call a few times a second. */
  pollers: number
  /** Between two calls of a process that polls. */
  pollMs: number
  /** That ask for the same at once. */
  askers: number
  /** Idle clients beside which others call. */
  crowds: readonly number[]
  /** Sizes at which the scale model is checked. */
  modelClients: readonly number[]
  streamBytes: number
  /** Names (256 bytes each) in the replies of the payload entry. */
  payloadNames: readonly number[]
}

const MiB = 2 ** 20

export const FULL: Scale = {
  rounds: 6,
  roundsPerStart: 1,
  entryMs: Infinity,
  sliceMs: 2000,
  leadMs: 500,
  warmMs: 3000,
  clients: [1, 16, 128],
  idleSteps: [1000, 3000, 5000, 7000, 9000],
  stormClients: [4000, 9000],
  pollers: 1000,
  pollMs: 20_000,
  askers: 200,
  crowds: [0, 1000, 2000, 4000, 9000],
  modelClients: [1000, 3000, 9000],
  streamBytes: 512 * MiB,
  payloadNames: [0, 4, 64, 1024, 4096, 16_384, 65_536]
}

export const QUICK: Scale = {
  rounds: 2,
  roundsPerStart: 2,
  entryMs: 4000,
  sliceMs: 300,
  leadMs: 0,
  warmMs: 200,
  clients: [1, 16, 128],
  idleSteps: [200, 600],
  stormClients: [300],
  pollers: 200,
  pollMs: 2000,
  askers: 60,
  crowds: [0, 500],
  modelClients: [200, 600],
  streamBytes: 64 * MiB,
  payloadNames: [64, 65_536]
}

/** Only shows that everything works. */
export const SMOKE: Scale = {
  rounds: 1,
  roundsPerStart: 1,
  entryMs: 0,
  sliceMs: 100,
  leadMs: 0,
  warmMs: 50,
  clients: [1, 4],
  idleSteps: [10, 40],
  stormClients: [40],
  pollers: 20,
  pollMs: 500,
  askers: 20,
  crowds: [0, 20],
  modelClients: [10, 40],
  streamBytes: MiB,
  payloadNames: [0, 64]
}

/** Whether turns are too short for figures that mean something. */
export const tooShort = (scale: Scale): boolean => scale.warmMs < FULL.warmMs
