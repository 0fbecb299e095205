import { expect } from 'chai'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { Ctl, CTL } from '../support/ctl.js'
import { Stage } from '../support/stage.js'
import { Terminal } from '../support/terminal.js'
import { waitFor } from '../support/waiting.js'

describe('virtbrokerctl top', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let ctl: Ctl
  beforeEach(async () => {
    stage = await Stage.start(cleanup)
    ctl = new Ctl(cleanup, stage.broker)
    await ctl.untilEmpty()
  })
  afterEach(() => cleanup.run())

  const start = (rows = 30, columns = 160): Promise<Terminal> =>
    Terminal.start(cleanup, [process.execPath, CTL, '--socket', ctl.socket, 'top', '--interval', '1'], rows, columns)

  /** Waits for its end, and sees to it that the terminal is as it was. */
  async function restored(terminal: Terminal, status: number): Promise<void> {
    await terminal.program.exited
    const { text, beside, cursor } = terminal.screen
    expect({ beside, cursor }).to.deep.equal({ beside: false, cursor: true })
    expect(terminal.program.stdout).to.match(new RegExp(`status ${status}\\r$`, 'm'))
    expect(text).not.to.contain('DRIVER CONNECTIONS')
    for (const mode of ['icanon', 'echo', 'isig']) expect(terminal.program.stdout).to.match(new RegExp(`[ ;\\n]${mode}\\b`))
  }

  it('draws what the broker has, anew each second, until q is pressed', async () => {
    const terminal = await start()
    await terminal.shows(new RegExp(`^virtbrokerd \\S+ +process ${stage.broker.program.pid} +serving +since `))
    await terminal.shows(/^clients 0, 0 not logged in, 0\.0 come and 0\.0 go a second$/m)
    expect(terminal.screen).to.include({ beside: true, cursor: false })
    const { client } = await stage.open()
    await stage.open(stage.broker.socket)
    // One by one: a look at the screen may come while it is being drawn.
    await terminal.shows(/^qemu:\/\/\/system +2$/m)
    await terminal.shows(/^clients 2, 0 not logged in/m)
    await terminal.shows(/^ID +LISTENER +FROM +USER +CALLS\/S +P99 +INFL +WAIT +OLDEST +IN\/S +OUT\/S +STATE +THREAD +DRIVER/m)
    const row = `^\\d+ +tcp +127.0.0.1:${client.socket.localPort} +- .* serving +\\d+ +qemu:///system`
    await terminal.shows(new RegExp(row, 'm'))
    await terminal.shows(/ main +pid \d+ +root /)
    await terminal.shows(/^THREAD +CLIENTS +DRIVER CONNECTIONS +STATE$/m)
    await terminal.shows(/^q quit {3}s sort \(by calls\) .*\n*$(?![^])/m)
    client.destroy()
    await terminal.shows(/^clients 1, 0 not logged in/m)
    terminal.press('q')
    await restored(terminal, 0)
  })

  it('sorts, turns, pauses and goes on by keys, and draws the size that the terminal has', async () => {
    const first = await stage.open()
    const second = await stage.open()
    const terminal = await start()
    const [one, other] = [first, second].map(({ client }) => `:${client.socket.localPort} `)
    await terminal.shows(new RegExp(`${one}[^]*${other}`))
    terminal.press('r')
    await terminal.shows(new RegExp(`${other}[^]*${one}[^]*\\(by calls, the other way round\\)`))
    terminal.press('s')
    await terminal.shows(/\(by p99, /)
    terminal.press('r')
    terminal.press('\x1b[B')
    await waitFor('the first to be scrolled away', () => !terminal.screen.text.includes(`:${first.client.socket.localPort} `))
    terminal.press('\x1b[A')
    await waitFor('the first to be back', () => terminal.screen.text.includes(`:${first.client.socket.localPort} `))
    terminal.press(' ')
    await terminal.shows(/space go on/)
    await terminal.resize(14, 50)
    const small = await terminal.shows(/^virtbrokerd/)
    expect(small.split('\n')).to.have.length(14)
    await terminal.shows(/^q quit {3}s sort/m)
    await terminal.resize(40, 200)
    await terminal.shows(/^q quit .*arrows scroll$/m)
    terminal.press(' ')
    await terminal.shows(/space pause/)
    second.client.destroy()
    await terminal.shows(/^clients 1, /m)
    terminal.press('\x03')
    await restored(terminal, 0)
  })

  it('gives the terminal back when it is ended by a signal', async () => {
    const terminal = await start()
    await terminal.shows(/^clients 0/m)
    process.kill(await terminal.pid(), 'SIGTERM')
    await restored(terminal, 143)
  })

  it('says that the broker is gone, and goes on when it is back', async () => {
    const terminal = await start()
    await terminal.shows(/^clients 0/m)
    await stage.broker.program.stop()
    await terminal.shows(/^!! .*ENOENT/m)
    terminal.press('q')
    await restored(terminal, 0)
    expect((await ctl.run('top')).status, 'without a terminal').to.equal(1)
  })

  it('shows what clients do, whether calls are counted or not', async () => {
    const { client } = await stage.open()
    const { client: idle } = await stage.open()
    let over = false
    const calling = (async () => {
      while (!over) await client.call(REMOTE.domainGetInfo)
    })()
    const lines = ctl.start('--json', 'top', '--interval', '1', '--count', '4')
    expect((await lines.exited).status).to.equal(0)
    over = true
    await calling
    interface Look { clients: { peer: string; calls?: number; p99Us?: number; bytesIn?: number }[] }
    const looks = lines.stdout.trim().split('\n').map(line => JSON.parse(line) as Look)
    const of = ({ clients }: Look, { socket }: typeof client) => clients.find(({ peer }) => peer === `127.0.0.1:${socket.localPort}`)!
    expect(of(looks[0]!, client).calls ?? 0).to.equal(0)
    for (const look of looks.slice(1)) {
      expect(look.clients).to.have.length(2)
      expect(of(look, client).calls).to.be.above(10)
      expect(of(look, client).bytesIn).to.be.closeTo(28 * of(look, client).calls!, 200)
      expect(of(look, idle).calls).to.equal(undefined)
    }
    for (const look of looks.slice(2)) expect(of(look, client).p99Us).to.be.within(1, 5_000_000)
  })

  it('counts calls where they are counted, and prints JSON', async () => {
    const counting = await Stage.start(cleanup, { metrics_listen: `unix:${stage.broker.dir}/metrics` })
    const lines = new Ctl(cleanup, counting.broker).start('--json', 'top', '--interval', '1', '--count', '3')
    const { client } = await counting.open()
    await waitFor('a look', () => lines.stdout.includes('\n'))
    for (let i = 0; i < 100; i++) await client.call(REMOTE.domainGetInfo)
    expect((await lines.exited).status).to.equal(0)
    interface Look { status: { calls: { ok: number } }; rates?: { calls: number } }
    const looks = lines.stdout.trim().split('\n').map(line => JSON.parse(line) as Look)
    expect(looks).to.have.length(3)
    expect(looks[0]).not.to.have.property('rates')
    expect(looks[2]!.status.calls.ok).to.be.at.least(100)
    // A second, or somewhat more.
    expect(looks[1]!.rates!.calls + looks[2]!.rates!.calls).to.be.within(10, 200)
  })
})
