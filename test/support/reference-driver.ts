import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { Program } from './processes.js'
import { canConnect } from './sockets.js'
import { tempDir } from './temp-dir.js'
import { waitFor } from './waiting.js'

/** libvirt's own test driver, served by a libvirtd that has no other. Gives the path of its socket. */
export async function startReferenceDriver(cleanup: Cleanup): Promise<string> {
  const dir = await tempDir(cleanup)
  await mkdir(join(dir, 'drivers'))
  const conf = [`unix_sock_dir = "${dir}"`, 'auth_unix_rw = "none"', 'auth_unix_ro = "none"', 'log_level = 4']
  await writeFile(join(dir, 'conf'), `${conf.join('\n')}\n`)
  const program = new Program(['libvirtd', '-f', join(dir, 'conf'), '-p', join(dir, 'pid')], {
    env: { ...process.env, LC_ALL: 'C', LIBVIRT_DRIVER_DIR: join(dir, 'drivers') }
  })
  cleanup.defer(() => program.stop())
  const path = join(dir, 'libvirt-sock')
  await waitFor('libvirtd with its test driver', () => {
    if (program.ended) throw new Error(`libvirtd ended: ${program.describe()}`)
    return canConnect(path)
  })
  return path
}
