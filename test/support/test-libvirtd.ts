import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { confText } from './conf-file.js'
import { Program } from './processes.js'
import { canConnect } from './sockets.js'
import { tempDir } from './temp-dir.js'
import { waitFor } from './waiting.js'

/** Starts a real libvirtd that has no drivers and so serves `test:///default` alone. Resolves to its socket. */
export async function startTestLibvirtd(cleanup: Cleanup): Promise<string> {
  const dir = await tempDir(cleanup)
  const drivers = join(dir, 'drivers')
  await mkdir(drivers)
  const conf = join(dir, 'libvirtd.conf')
  await writeFile(conf, confText({
    unix_sock_dir: dir, auth_unix_rw: 'none', auth_unix_ro: 'none', log_outputs: '3:stderr',
    // Otherwise drawn anew at each start on machines that do not tell theirs.
    host_uuid: '0f0e0d0c-0b0a-4908-8706-050403020100'
  }))
  const program = new Program(['libvirtd', '-f', conf, '-p', join(dir, 'pid')], {
    env: { ...process.env, LC_ALL: 'C', LIBVIRT_DRIVER_DIR: drivers }
  })
  cleanup.defer(() => program.stop())
  const socket = join(dir, 'libvirt-sock')
  await waitFor('libvirtd', () => {
    if (program.ended) throw new Error(`libvirtd ended: ${program.describe()}`)
    return canConnect(socket)
  })
  return socket
}
