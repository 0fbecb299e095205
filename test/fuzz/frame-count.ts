import { DISPOSITION, FrameReader } from '#protocol/frame-reader.js'
import { frameProgram, PROGRAM } from '#protocol/header.js'
import type { FrameSocket } from '../support/frame-socket.js'

/** Frames that hostile peers got rid of, with what only begins like one. What the kernel did not take does not count. */
export class FrameCount {
  /** But for pings and pongs, of which storms bring tens of thousands. */
  total = 0
  keepalive = 0

  watch(peer: FrameSocket): void {
    const reader = new FrameReader({
      head: (bytes, at) => {
        if (frameProgram(bytes, at) === PROGRAM.keepalive) this.keepalive++
        else this.total++
        return DISPOSITION.skip
      },
      illegal: () => void this.total++,
      run: () => undefined,
      frame: () => undefined
    })
    peer.onSent = bytes => reader.push(bytes, 0, bytes.length)
  }

  get describe(): string {
    return `${this.total} frames and ${this.keepalive} pings and pongs`
  }
}
