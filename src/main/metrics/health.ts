import type { Health } from './answers.js'

/** What is looked at to tell whether the broker does its work. */
export interface Patient {
  /** Threads whose loops have not turned for two seconds, by their numbers. */
  stuckThreads(): readonly number[]
  /** A stop, or a draining, has begun. */
  draining(): boolean
  /** How many listeners for clients are open, and take connections. */
  listening(): number
  /** Whether a driver daemon can be reached. */
  reachesDriver(): Promise<boolean>
}

export const healthOf = (patient: Patient): Health => ({
  live: () => stuck(patient),
  ready: async () => [
    ...stuck(patient),
    ...(patient.draining() ? ['the broker is draining'] : []),
    ...(patient.listening() === 0 ? ['no listener is open'] : []),
    ...(await patient.reachesDriver() ? [] : ['no driver daemon can be reached'])
  ]
})

const stuck = (patient: Patient): string[] => patient.stuckThreads().map(number => `thread ${number} does not answer`)
