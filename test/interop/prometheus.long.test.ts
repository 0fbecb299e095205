import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { rpcError } from '#protocol/errors.js'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeCallbackId } from '#protocol/messages/events.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { freePort } from '../support/free-port.js'
import { fetchPage } from '../support/metrics.js'
import { pattern } from '../support/pattern.js'
import { Pki } from '../support/pki.js'
import { PolkitBus } from '../support/polkit-bus.js'
import { mustRun, Program, run } from '../support/processes.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { confirmed } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'

const packaging = new URL('../../../packaging/', import.meta.url).pathname
const RULES = `${packaging}prometheus/virtbroker.rules.yml`
const BOARD = `${packaging}grafana/virtbroker.json`
const { domainGetXmlDesc: CALL, domainSave: SAVE, storageVolUpload: UPLOAD, storageVolDownload: DOWNLOAD } = REMOTE
const EMPTY = Buffer.alloc(0)
const everybody = 'polkit.addRule(function () { return polkit.Result.YES })'

interface Board {
  panels: { title: string; targets?: { expr: string }[] }[]
}

interface Answer {
  data: { result: { value: [number, string] }[] }
}

describe('Prometheus', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let stage: Stage
  let metricsPort: number
  let tlsPort: number
  let pki: Pki
  let over = false

  before(async () => {
    pki = await Pki.make(cleanup)
    const [server, bus] = [await pki.server(), await PolkitBus.start(cleanup, everybody)]
    ;[metricsPort, tlsPort] = [await freePort(), await freePort()]
    stage = await Stage.start(cleanup, {
      metrics_listen: `127.0.0.1:${metricsPort}`, auth_unix_rw: 'polkit', system_bus_address: bus.address,
      listen_tls: 1, tls_port: String(tlsPort), auth_tls: 'none', ca_file: pki.ca.certificate, cert_file: server.certificate,
      key_file: server.key, procedure_policy: ['listener=tcp => deny domain:hibernate'],
      // Each client opens a connection to the daemon, and that which opens streams is there before them.
      driver_sharing: 'off'
    })
    stage.driver.on(SAVE, () => rpcError('no'))
    for (const proc of [UPLOAD, DOWNLOAD]) stage.driver.on(proc, () => EMPTY)
    cleanup.defer(() => Promise.resolve(void (over = true)))
    void load().catch(() => undefined)
  })
  after(() => cleanup.run())

  /** What clients do, again and again. */
  async function load(): Promise<void> {
    const { client, daemon } = await stage.open()
    await client.call(UPLOAD, EMPTY, { serial: 1000 })
    await client.call(DOWNLOAD, EMPTY, { serial: 1001 })
    const download = daemon.calls.at(-1)!
    client.serial = 2000
    const certificate = await pki.client()
    while (!over) {
      for (let i = 0; i < 20; i++) await client.call(CALL, EMPTY)
      await client.call(REMOTE.connectGetLibVersion, EMPTY)
      await client.call(SAVE, EMPTY)
      client.send({ proc: UPLOAD, serial: 1000, type: MESSAGE.stream, status: STATUS.continue }, pattern(5000))
      daemon.data(download, pattern(5000))
      daemon.event(REMOTE.domainEventCallbackLifecycle, encodeCallbackId(1))
      await loggedIn()
      ;(await confirmed(tlsPort, certificate)).destroy()
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  async function loggedIn(): Promise<void> {
    const client: RawClient = await stage.connect(stage.broker.socket)
    await client.call(REMOTE.authPolkit)
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    expect((await client.call(SAVE, EMPTY)).status).to.equal(STATUS.error)
    client.destroy()
  }

  it('finds nothing wrong with the rules', async () => {
    expect((await mustRun(['promtool', 'check', 'rules', RULES])).stdout).to.match(/SUCCESS: \d+ rules found/)
  })

  it('finds nothing wrong with the metrics', async () => {
    await waitFor('calls', async () => (await fetchPage(metricsPort, '/metrics')).body.includes('DOMAIN_GET_XML_DESC'))
    const { body } = await fetchPage(metricsPort, '/metrics')
    expect(await run(['promtool', 'check', 'metrics'], { input: body })).to.deep.include({ status: 0, stdout: '', stderr: '' })
  })

  it('scrapes a broker under load, and answers each query of the board', async () => {
    const dir = await tempDir(cleanup)
    const port = await freePort()
    const config = join(dir, 'prometheus.yml')
    await writeFile(config, [
      'global: { scrape_interval: 1s, evaluation_interval: 1s }',
      `rule_files: [ '${RULES}' ]`,
      'scrape_configs:',
      `- { job_name: virtbroker, static_configs: [ { targets: [ '127.0.0.1:${metricsPort}' ] } ] }`
    ].join('\n'))
    const prometheus = new Program([
      'prometheus', `--config.file=${config}`, `--storage.tsdb.path=${join(dir, 'data')}`, `--web.listen-address=127.0.0.1:${port}`
    ])
    cleanup.defer(() => prometheus.stop())
    const ask = async (path: string): Promise<unknown> => JSON.parse((await fetchPage(port, path)).body)
    await waitFor('Prometheus', () => fetchPage(port, '/-/ready').then(({ status }) => status === 200, () => false))
    const { panels } = JSON.parse(readFileSync(BOARD, 'utf8')) as Board
    const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))
    expect(queries.length).to.be.above(40)
    let unanswered = queries
    await waitFor('answers', async () => {
      const still = await Promise.all(unanswered.map(async query => ((await hasData(query.expr)) ? [] : [query])))
      unanswered = still.flat()
      return unanswered.length === 0
    }, 30_000).catch((error: unknown) => expect(unanswered, String(error)).to.deep.equal([]))

    async function hasData(expr: string): Promise<boolean> {
      const asked = expr.replaceAll('$job', 'virtbroker').replaceAll('$instance', '.*').replaceAll('$__rate_interval', '15s')
      const { data } = (await ask(`/api/v1/query?query=${encodeURIComponent(asked)}`)) as Answer
      return data.result.some(({ value: [, value] }) => Number.isFinite(Number(value)))
    }

    const { data } = (await ask('/api/v1/rules')) as { data: { groups: { rules: { name: string; health: string; state: string }[] }[] } }
    const rules = data.groups.flatMap(group => group.rules)
    expect(rules.filter(({ health }) => health !== 'ok')).to.deep.equal([])
    expect(rules.filter(({ state }) => state === 'firing')).to.deep.equal([])
  })

  it('gives the alarm when a driver daemon is gone, after two minutes', async () => {
    const tests = join(await tempDir(cleanup), 'rules.test.yml')
    await writeFile(tests, `
rule_files: [ '${RULES}' ]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - { series: 'virtbroker_driver_up{driver="qemu", instance="here"}', values: '1 1 0 0 0 0' }
  - { series: 'virtbroker_calls_total{procedure="X", driver="qemu", outcome="timeout", instance="here"}', values: '0 0 3 3' }
  - { series: 'virtbroker_certificate_not_after_seconds{role="server", index="0", instance="here"}', values: '864000x100' }
  - { series: 'virtbroker_keepalive_total{side="client", result="would_have_starved", instance="here"}', values: '0 0 1 1 1 1' }
  alert_rule_test:
  - { eval_time: 3m, alertname: VirtbrokerDriverDown, exp_alerts: [] }
  - eval_time: 5m
    alertname: VirtbrokerDriverDown
    exp_alerts:
    - exp_labels: { severity: critical, driver: qemu, instance: here }
      exp_annotations:
        summary: Nobody listens for qemu on here
        description: The socket of the driver daemon is there, or configured, and no daemon answers at it.
  - { eval_time: 1m, alertname: VirtbrokerDriverSilent, exp_alerts: [] }
  - eval_time: 3m
    alertname: VirtbrokerDriverSilent
    exp_alerts:
    - exp_labels: { severity: warning, driver: qemu, instance: here }
      exp_annotations:
        summary: The qemu daemon on here has left calls without an answer
        description: It did not answer pings either, and the connections were given up. It hangs, or all that it does at a time is stuck.
  - eval_time: 70m
    alertname: VirtbrokerCertificateEnds
    exp_alerts:
    - exp_labels: { severity: warning, role: server, index: "0", instance: here }
      exp_annotations:
        summary: A certificate (server) of virtbroker on here ends in less than 14 days
        description: Renew it, and reload the broker (or set tls_watch_files).
`)
    expect((await mustRun(['promtool', 'test', 'rules', tests])).stdout).to.contain('SUCCESS')
  })
})
