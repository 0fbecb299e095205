import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { type Conf, confText } from './conf-file.js'
import { tempDir } from './temp-dir.js'

const executable = new URL('../../../dist/main/virtbrokerd.js', import.meta.url).pathname

/** The command line of a broker, for tests that run it themselves. */
export const brokerCommand = (...args: string[]): string[] => [process.execPath, executable, ...args]

/** A directory with a configuration whose sockets are in it. */
export interface BrokerFiles {
  dir: string
  file: string
  pidFile: string
}

/** @param conf wins over what the tests need */
export async function brokerFiles(cleanup: Cleanup, conf: Conf): Promise<BrokerFiles> {
  const dir = await tempDir(cleanup)
  const file = join(dir, 'broker.conf')
  await writeFile(file, confText({ unix_sock_dir: dir, auth_unix_rw: 'none', auth_unix_ro: 'none', ...conf }))
  return { dir, file, pidFile: join(dir, 'broker.pid') }
}
