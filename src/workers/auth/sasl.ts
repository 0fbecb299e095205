import type { Header } from '../../protocol/header.js'
import { compileGlob } from '../../protocol/glob.js'
import {
  AUTH,
  decodeSaslStart,
  decodeSaslStep,
  encodeSaslMechanisms,
  encodeSaslReply,
  type AuthType,
  type SaslData
} from '../../protocol/messages/auth.js'
import { REMOTE } from '../../protocol/procedures.js'
import { SOURCE } from '../base/log.js'
import { SaslCodec } from '../sasl/codec.js'
import type { SaslParameters } from '../sasl/libsasl.js'
import type { SaslSuccess } from '../sasl/messages.js'
import { SaslRefusal, type SaslAttempt, type SaslTurn } from '../sasl/thread-client.js'
import { isDeceptive, shown } from '../base/peer-names.js'
import { authenticationFailed } from '../../protocol/broker-errors.js'
import type { SaslLayer } from '../sasl/sasl-layer.js'
import type { Applicant, Authentication, AuthServices } from './authentication.js'

/** Clients try once for each connection that they make. */
const MAX_FAILURES = 5
/** The longest exchange of a real mechanism has four. */
const MAX_STEPS = 20
/** A layer that is weaker is none, whatever `tcp_min_ssf` says (`virNetSASLContext`). */
const LEAST_LAYER_SSF = 56

/** A mechanism of libsasl2, chosen by the client, says who the client is. All that goes wrong looks alike to it. */
export class SaslAuthentication implements Authentication {
  #attempt: SaslAttempt | undefined
  /** A question is with the SASL thread. */
  #busy = false
  #started = false
  #steps = 0
  #failures = 0
  #ended = false

  /** `layer`: set on connections that are not secure by themselves. */
  constructor(
    readonly applicant: Applicant,
    readonly services: AuthServices,
    readonly layer: SaslLayer | undefined,
    readonly parameters: SaslParameters
  ) {}

  list(): AuthType {
    return AUTH.sasl
  }

  take(call: Header, body: Buffer): boolean {
    switch (call.proc) {
      case REMOTE.authSaslInit:
        this.#init(call)
        return true
      case REMOTE.authSaslStart: {
        const { mechanism, data } = decodeSaslStart(body)
        this.#start(call, mechanism, data)
        return true
      }
      case REMOTE.authSaslStep:
        this.#step(call, decodeSaslStep(body))
        return true
      default:
        return false
    }
  }

  /** With a layer the attempt lasts as long as the client, for the sake of its connection. */
  end(): void {
    this.#ended = true
    this.#forget()
  }

  #init(call: Header): void {
    if (this.#attempt !== undefined) return this.#refuse(call, 'SASL_INIT within an attempt')
    const attempt = this.services.sasl.attempt()
    this.#attempt = attempt
    this.#started = false
    this.#steps = 0
    const begun = attempt.begin(this.parameters)
    this.#await(call, begun, mechanisms => this.applicant.reply(call, encodeSaslMechanisms(mechanisms)))
  }

  #start(call: Header, mechanism: string, data: SaslData): void {
    const attempt = this.#attempt
    if (attempt === undefined || this.#busy || this.#started) return this.#refuse(call, 'SASL_START out of order')
    if (!attempt.offered.includes(mechanism)) {
      this.#forget()
      return this.#refuse(call, `mechanism ${JSON.stringify(mechanism.slice(0, 40))} is not offered`)
    }
    this.#started = true
    this.#await(call, attempt.start(mechanism, data), turn => this.#turn(call, turn))
  }

  #step(call: Header, data: SaslData): void {
    const attempt = this.#attempt
    if (attempt === undefined || this.#busy || !this.#started) return this.#refuse(call, 'SASL_STEP out of order')
    if (++this.#steps > MAX_STEPS) {
      this.#forget()
      return this.#refuse(call, 'too many steps')
    }
    this.#await(call, attempt.step(data), turn => this.#turn(call, turn))
  }

  /** Meanwhile nothing more is read: what follows may be wrapped already. */
  #await<T>(call: Header, answer: Promise<T>, then: (answer: T) => void): void {
    this.#busy = true
    this.layer?.hold()
    answer.then(
      value => {
        this.#busy = false
        if (!this.#ended) then(value)
      },
      (error: Error) => {
        this.#busy = false
        if (this.#ended) return
        this.#forget()
        this.#refuse(call, error instanceof SaslRefusal ? error.message : String(error))
      }
    ).finally(() => this.layer?.release()).catch((error: unknown) => this.applicant.close(String(error), 'internal-failure'))
  }

  #turn(call: Header, { data, success }: SaslTurn): void {
    if (success === undefined) return this.applicant.reply(call, encodeSaslReply({ complete: false, data }))
    const objection = this.#objection(success)
    if (objection !== undefined) {
      this.#forget()
      return this.#refuse(call, objection)
    }
    const { userName, strength, maxOutput, connection } = success
    this.applicant.log('debug', `SASL user '${shown(userName)}', strength ${strength}`, SOURCE.sasl)
    this.applicant.reply(call, encodeSaslReply({ complete: true, data }))
    this.applicant.authenticated({ saslUserName: userName })
    // The reply is the last that goes in the clear. What has come behind the call is read now, by one who is in.
    if (this.layer !== undefined) this.layer.secure(new SaslCodec(connection, maxOutput))
    else this.#forget()
  }

  /** Why a client that has proved who it is does not get in all the same. */
  #objection({ userName, strength }: SaslSuccess): string | undefined {
    if (this.layer !== undefined && strength < LEAST_LAYER_SSF) {
      return `negotiated SSF ${strength} was not strong enough`
    }
    if (isDeceptive(userName)) return `SASL client identity '${shown(userName)}' holds characters that are not text`
    const allowed = this.services.thread.settings.saslAllowedUsers
    if (allowed === undefined || allowed.some(pattern => compileGlob(pattern)(userName))) return undefined
    return `SASL client identity '${shown(userName)}' not allowed by ACL`
  }

  #forget(): void {
    this.#attempt?.forget()
    this.#attempt = undefined
  }

  #refuse(call: Header, why: string): void {
    this.applicant.log('login-refused', `SASL: ${why}`, SOURCE.sasl)
    this.applicant.refuse(call, authenticationFailed())
    if (++this.#failures >= MAX_FAILURES) this.applicant.close('too many attempts to authenticate', 'too-many-logins')
  }
}
