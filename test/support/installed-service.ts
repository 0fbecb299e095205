import { readdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import type { BootedHost } from './booted-host.js'
import { type Conf, confText } from './conf-file.js'
import type { Outcome } from './processes.js'
import { waitFor } from './waiting.js'

const repository = realpathSync(new URL('../../../', import.meta.url))
const modules = realpathSync(new URL('../../../node_modules', import.meta.url))
const units = join(repository, 'packaging/systemd')
const HOME = '/usr/lib/virtbroker'
const UNITS = '/etc/systemd/system'

/** Seen where the unit lets the broker look, wherever this repository and this Node are. */
const installScript = `
set -e
rm -rf ${UNITS}/virtbrokerd*
mkdir -p ${HOME}/dist ${HOME}/node_modules
touch ${HOME}/package.json ${HOME}/node
mount --bind "$1/dist" ${HOME}/dist
mount --bind "$1/package.json" ${HOME}/package.json
mount --bind "$2" ${HOME}/node_modules
node=$(command -v node || echo "$3")
mount --bind "$node" ${HOME}/node
printf '#!/bin/sh\\nexec ${HOME}/node ${HOME}/dist/main/virtbrokerd.js "$@"\\n' > /usr/sbin/virtbrokerd
chmod 755 /usr/sbin/virtbrokerd
`

/** The broker as a service of a booted host, with the units of packaging/systemd as they are. */
export class InstalledService {
  /** Where the repository has them. */
  readonly units = units

  private constructor(readonly host: BootedHost) {}

  /** `sets`: directories with drop-ins. */
  static async on(host: BootedHost, conf: Conf, sets: readonly string[] = []): Promise<InstalledService> {
    await host.exec(['rm', '-f', LOG])
    await host.exec(['sh', '-c', installScript, 'install', repository, modules, process.execPath])
    const names = readdirSync(units).filter(name => /\.(service|socket)$/.test(name))
    await host.exec(['cp', ...names.map(name => join(units, name)), UNITS])
    for (const set of sets) await host.exec(['sh', '-c', `cp -r ${units}/${set}/*.d ${UNITS}`])
    const service = new InstalledService(host)
    await service.configure(conf)
    await service.systemctl('daemon-reload')
    return service
  }

  async configure(conf: Conf): Promise<void> {
    await this.write('/etc/libvirt/virtbrokerd.conf', confText(conf))
  }

  async write(path: string, text: string): Promise<void> {
    await this.host.exec(['tee', path], { input: text })
  }

  /** A drop-in of the administrator's. */
  async override(unit: string, text: string): Promise<void> {
    await this.host.exec(['mkdir', '-p', `${UNITS}/${unit}.d`])
    await this.write(`${UNITS}/${unit}.d/test.conf`, text)
    await this.systemctl('daemon-reload')
  }

  systemctl(...args: string[]): Promise<Outcome> {
    return this.host.exec(['systemctl', ...args])
  }

  async property(name: string, unit = 'virtbrokerd.service'): Promise<string> {
    return (await this.systemctl('show', '-P', name, unit)).stdout.trim()
  }

  async state(unit = 'virtbrokerd.service'): Promise<string> {
    return this.property('ActiveState', unit)
  }

  async becomes(state: string, unit?: string): Promise<void> {
    await waitFor(`${unit ?? 'the service'} to be ${state}`, async () => (await this.state(unit)) === state, 60_000)
  }

  /** Resolves when it has said that in its log: what it has done may be seen before. */
  async hasSaid(what: RegExp): Promise<void> {
    await waitFor(`${String(what)} in the log`, async () => what.test(await this.log()))
  }

  /** What it has said on standard error and in the log; there is no journal here. */
  log(): Promise<string> {
    return this.host.exec(['cat', LOG]).then(({ stdout }) => stdout)
  }
}

/** Where the tests have it log to. */
export const LOG = '/var/log/libvirt/service-under-test.log'
