import type { Troubles } from '../../support/troubled-host.js'
import { calls } from './calls.js'
import { certificates } from './certificates.js'
import { connecting } from './connecting.js'
import { login } from './login.js'
import { opening } from './opening.js'
import { starting } from './starting.js'

/** In the order in which they are produced: each finds the host as the one before has left it. */
export const TROUBLES: Troubles = { ...connecting, ...login, ...certificates, ...opening, ...calls, ...starting }
