import type { RemoteError } from '../../protocol/errors.js'
import type { Disposition } from '../../protocol/frame-reader.js'
import type { RegistrationKind } from '../../protocol/messages/events.js'
import type { ConnectionUse } from '../thread/driver-report.js'
import type { DriverEvents, DriverPort, DriverUser, ReplyJudge, ReplySink } from './driver-port.js'

const WHOLE_FRAMES = { inPassedFrame: false, cutAtFrameEnd: (): void => undefined }

/** The user of a driver connection that belongs to no session: only whole frames go out there, and no streams and descriptors come. */
export abstract class SessionlessUser implements DriverUser, DriverEvents, ReplyJudge, ReplySink {
  readonly relayed = WHOLE_FRAMES
  readonly sender = undefined
  readonly carriesDescriptors = false
  readonly bound = false
  readonly onlyReads = false

  get session(): this {
    return this
  }

  get judge(): this {
    return this
  }

  get driverEvents(): this {
    return this
  }

  get replies(): this {
    return this
  }

  streamPacket(): Disposition | undefined {
    return undefined
  }

  driverId(_: RegistrationKind, id: number): number {
    return id
  }

  relayWithDescriptors(): void {
    throw new Error('descriptors on a driver connection of no session')
  }

  write(): void {
    throw new Error('a reply with descriptors on a driver connection of no session')
  }

  abstract close(why: string): void
  abstract replied(bytes: Buffer, at: number, here: boolean): Disposition | undefined
  abstract event(bytes: Buffer, at: number, here: boolean): Disposition
  abstract relay(bytes: Buffer, from: number, to: number): void
  abstract driverJudged(): void
  abstract driverDrained(): void
  abstract driverLost(port: DriverPort, error: RemoteError, reason: number, cut: boolean): void
  abstract driverViolated(what: string): void
  abstract use(): ConnectionUse | undefined
}
