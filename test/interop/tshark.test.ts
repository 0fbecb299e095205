import { expect } from 'chai'
import {
  authenticationRequired, CODE, DOMAIN, errorReply, RemoteError, streamError, systemError
} from '#protocol/errors.js'
import { encodeFrame, MESSAGE, PROGRAM, readHeader, STATUS } from '#protocol/header.js'
import { encodeSetIdentity } from '#protocol/identity.js'
import * as auth from '#protocol/messages/auth.js'
import * as connect from '#protocol/messages/connect.js'
import { encodeCallbackId } from '#protocol/messages/events.js'
import { callFrame, replyFrame } from '#protocol/messages/frames.js'
import { PING_FRAME, PONG_FRAME } from '#protocol/messages/keepalive.js'
import * as streams from '#protocol/messages/streams.js'
import { proceduresOf, REMOTE } from '#protocol/procedures.js'
import { dissect, summaries } from '../support/tshark.js'
import type { Sent } from '../support/pcap.js'

const client = (bytes: Buffer): Sent => ({ from: 'client', bytes })
const server = (bytes: Buffer): Sent => ({ from: 'server', bytes })
const header = (proc: number, serial: number) => readHeader(callFrame(proc, serial))

/** Header lines as the dissector prints them, then those of the body. */
const lines = (length: number, procedure: string, type: string, serial: number, status: string, ...body: string[]) => [
  `length: ${length}`, 'program: REMOTE (0x20008086)', 'version: 1', `procedure: ${procedure}`, `type: ${type}`,
  `serial: ${serial}`, `status: ${status}`, ...body
]
const call = (length: number, procedure: string, serial: number, ...body: string[]) =>
  lines(length, procedure, 'CALL (0)', serial, 'OK (0)', ...body)
const reply = (length: number, procedure: string, serial: number, ...body: string[]) =>
  lines(length, procedure, 'REPLY (1)', serial, 'OK (0)', ...body)

describe("frames of the broker, read by libvirt's dissector in tshark", () => {
  it('AUTH_LIST', () => {
    const conversation = [
      client(callFrame(REMOTE.authList, 0)),
      server(replyFrame(header(REMOTE.authList, 0), auth.encodeAuthList([auth.AUTH.sasl])))
    ]
    expect(dissect(conversation)).to.deep.equal([
      call(28, 'AUTH_LIST (66)', 0),
      reply(
        36, 'AUTH_LIST (66)', 0,
        'remote_auth_list_ret', 'types :: remote_auth_type<1>', 'types: REMOTE_AUTH_SASL(1)'
      )
    ])
  })

  it('a SASL login', () => {
    const start = { mechanism: 'PLAIN', data: Buffer.of(0x6e, 0xc3) }
    const going = { complete: false, data: Buffer.of(1) }
    const done = { complete: true, data: undefined }
    const conversation = [
      server(replyFrame(header(REMOTE.authSaslInit, 1), auth.encodeSaslMechanisms('PLAIN,GSSAPI'))),
      client(callFrame(REMOTE.authSaslStart, 2, auth.encodeSaslStart(start))),
      server(replyFrame(header(REMOTE.authSaslStart, 2), auth.encodeSaslReply(going))),
      client(callFrame(REMOTE.authSaslStep, 3, auth.encodeSaslStep(undefined))),
      server(replyFrame(header(REMOTE.authSaslStep, 3), auth.encodeSaslReply(done)))
    ]
    expect(dissect(conversation)).to.deep.equal([
      reply(44, 'AUTH_SASL_INIT (67)', 1, 'remote_auth_sasl_init_ret', 'mechlist: PLAIN,GSSAPI'),
      call(
        56, 'AUTH_SASL_START (68)', 2,
        'remote_auth_sasl_start_args', 'mech: PLAIN', 'nil: 0', 'data :: char<2>', 'data: 110', 'data: -61'
      ),
      reply(
        44, 'AUTH_SASL_START (68)', 2,
        'remote_auth_sasl_start_ret', 'complete: 0', 'nil: 0', 'data :: char<1>', 'data: 1'
      ),
      call(36, 'AUTH_SASL_STEP (69)', 3, 'remote_auth_sasl_step_args', 'nil: 1', 'data :: char<0>'),
      reply(40, 'AUTH_SASL_STEP (69)', 3, 'remote_auth_sasl_step_ret', 'complete: 1', 'nil: 1', 'data :: char<0>')
    ])
  })

  it('AUTH_POLKIT', () => {
    expect(dissect([server(replyFrame(header(REMOTE.authPolkit, 1), auth.encodePolkitReply()))])).to.deep.equal([
      reply(32, 'AUTH_POLKIT (70)', 1, 'remote_auth_polkit_ret', 'complete: 1')
    ])
  })

  it('CONNECT_OPEN, with a name and without', () => {
    const conversation = [
      client(callFrame(REMOTE.connectOpen, 2, connect.encodeOpen({ name: 'qemu:///system', flags: 1 }))),
      server(replyFrame(header(REMOTE.connectOpen, 2))),
      client(callFrame(REMOTE.connectOpen, 3, connect.encodeOpen({ name: undefined, flags: 0 })))
    ]
    expect(dissect(conversation)).to.deep.equal([
      call(56, 'CONNECT_OPEN (1)', 2, 'remote_connect_open_args', 'name: qemu:///system', 'flags: 1'),
      reply(28, 'CONNECT_OPEN (1)', 2),
      call(36, 'CONNECT_OPEN (1)', 3, 'remote_connect_open_args', 'name: : (null)', 'flags: 0')
    ])
  })

  it('CONNECT_SUPPORTS_FEATURE and CONNECT_GET_URI', () => {
    const asked = connect.encodeFeature(connect.FEATURE.closeCallback)
    const conversation = [
      client(callFrame(REMOTE.connectSupportsFeature, 4, asked)),
      server(replyFrame(header(REMOTE.connectSupportsFeature, 4), connect.encodeSupported(true))),
      server(replyFrame(header(REMOTE.connectGetUri, 5), connect.encodeText('qemu+unix:///system')))
    ]
    expect(dissect(conversation)).to.deep.equal([
      call(32, 'CONNECT_SUPPORTS_FEATURE (60)', 4, 'remote_connect_supports_feature_args', 'feature: 15'),
      reply(32, 'CONNECT_SUPPORTS_FEATURE (60)', 4, 'remote_connect_supports_feature_ret', 'supported: 1'),
      reply(52, 'CONNECT_GET_URI (110)', 5, 'remote_connect_get_uri_ret', 'uri: qemu+unix:///system')
    ])
  })

  it('CONNECT_SET_IDENTITY with every field', () => {
    const body = encodeSetIdentity({
      userName: 'fred', userId: 1000, groupName: 'staff', groupId: 50, processId: -1, processTime: 99_887_766_554,
      saslUserName: 'fred@EXAMPLE', x509DistinguishedName: 'C=GB,CN=client1', selinuxContext: 'u:r:t'
    })
    const fields = [
      ['user-name', 's: fred'], ['unix-user-id', 'ul: 1000'], ['group-name', 's: staff'], ['unix-group-id', 'ul: 50'],
      ['process-id', 'l: -1'], ['process-time', 'ul: 99887766554'], ['sasl-user-name', 's: fred@EXAMPLE'],
      ['x509-distinguished-name', 's: C=GB,CN=client1'], ['selinux-context', 's: u:r:t']
    ]
    expect(dissect([client(callFrame(REMOTE.connectSetIdentity, 5, body))])).to.deep.equal([
      call(
        28 + body.length, 'CONNECT_SET_IDENTITY (419)', 5,
        'remote_connect_set_identity_args', 'params :: remote_typed_param<9>',
        ...fields.flatMap(([field, value]) => ['params :: remote_typed_param', `field: ${field}`, value!]),
        'flags: 0'
      )
    ])
  })

  it('errors', () => {
    const refused = new RemoteError(CODE.noDomain, DOMAIN.remote, 'a b c', { str1: 'a', str2: 'b', str3: 'c', int2: 5 })
    const conversation = [
      server(errorReply(header(REMOTE.connectOpen, 1), authenticationRequired())),
      server(errorReply(header(REMOTE.connectOpen, 2), systemError(104, 'Cannot recv data'))),
      server(errorReply(header(REMOTE.connectOpen, 3), refused))
    ]
    const error = (serial: number, length: number, ...body: string[]) =>
      lines(length, 'CONNECT_OPEN (1)', 'REPLY (1)', serial, 'ERROR (1)', 'remote_error', ...body)
    const absent = '(null)'
    expect(dissect(conversation)).to.deep.equal([
      error(
        1, 136, 'code: 39', 'domain: 7', 'message: authentication required', 'level: 2', `dom: ${absent}`, 'str1: %s',
        'str2: authentication required', `str3: : ${absent}`, 'int1: -1', 'int2: -1', `net: ${absent}`
      ),
      error(
        2, 120, 'code: 38', 'domain: 7', 'message: Cannot recv data', 'level: 2', `dom: ${absent}`, 'str1: %s',
        'str2: Cannot recv data', `str3: : ${absent}`, 'int1: 104', 'int2: -1', `net: ${absent}`
      ),
      error(
        3, 108, 'code: 42', 'domain: 13', 'message: a b c', 'level: 2', `dom: ${absent}`, 'str1: a', 'str2: b',
        'str3: c', 'int1: -1', 'int2: 5', `net: ${absent}`
      )
    ])
  })

  it('event registration, and the event about the lost driver', () => {
    const registered = header(REMOTE.connectDomainEventCallbackRegisterAny, 6)
    const conversation = [
      server(replyFrame(registered, encodeCallbackId(4))),
      client(callFrame(REMOTE.connectDomainEventCallbackDeregisterAny, 7, encodeCallbackId(4))),
      server(connect.connectionClosedFrame(connect.CLOSE_REASON.endOfFile))
    ]
    expect(dissect(conversation)).to.deep.equal([
      reply(
        32, 'CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY (316)', 6,
        'remote_connect_domain_event_callback_register_any_ret', 'callbackID: 4'
      ),
      call(
        32, 'CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY (317)', 7,
        'remote_connect_domain_event_callback_deregister_any_args', 'callbackID: 4'
      ),
      lines(
        32, 'CONNECT_EVENT_CONNECTION_CLOSED (362)', 'MESSAGE (2)', 1, 'OK (0)',
        'remote_connect_event_connection_closed_msg', 'reason: 1'
      )
    ])
  })

  it('keepalive', () => {
    expect(summaries([server(PING_FRAME), client(PONG_FRAME)])).to.deep.equal([
      'Prog=KEEPALIVE Proc=PING Type=MESSAGE Serial=0 Status=OK',
      'Prog=KEEPALIVE Proc=PONG Type=MESSAGE Serial=0 Status=OK'
    ])
    expect(dissect([server(PING_FRAME), client(PONG_FRAME)]).flat().join()).not.to.contain('Malformed')
  })

  it('streams', () => {
    const stream = { prog: PROGRAM.remote, proc: REMOTE.storageVolUpload, serial: 10 }
    const upload = 'STORAGE_VOL_UPLOAD (208)'
    const broken = new RemoteError(CODE.operationFailed, DOMAIN.streams, 'broken')
    const conversation = [
      // The dissector leaves out the last 28 bytes of the data, and calls shorter data malformed.
      client(streams.streamData(stream, Buffer.from('some data, of an odd length: 35 byt'))),
      client(streams.streamData(stream, Buffer.alloc(streams.STREAM_CHUNK_BYTES, 'a'))),
      client(streams.streamHole(stream, 2_097_152n)),
      client(streams.streamFinish(stream)),
      client(streams.streamAbort(stream)),
      server(streamError(stream.prog, stream.proc, stream.serial, broken))
    ]
    const [data, chunk, hole, finish, abort, error] = dissect(conversation)
    expect(data).to.deep.equal(lines(63, upload, 'STREAM (3)', 10, 'CONTINUE (2)', 'stream: 736f6d65206461'))
    expect(chunk?.slice(0, 7)).to.deep.equal(lines(262_148, upload, 'STREAM (3)', 10, 'CONTINUE (2)'))
    expect(chunk?.[7]).to.match(/^stream: 61616161/)
    expect(hole).to.deep.equal(
      lines(40, upload, 'STREAM_HOLE (6)', 10, 'CONTINUE (2)', 'stream_hole', 'length: 2097152', 'flags: 0')
    )
    expect(finish).to.deep.equal(lines(28, upload, 'STREAM (3)', 10, 'OK (0)'))
    expect(abort).to.deep.equal(lines(28, upload, 'STREAM (3)', 10, 'ERROR (1)'))
    expect(error?.slice(4, 11)).to.deep.equal([
      'type: STREAM (3)', 'serial: 10', 'status: ERROR (1)', 'remote_error', 'code: 9', 'domain: 38', 'message: broken'
    ])
  })

  it('a wrong body is told from these', () => {
    const short = callFrame(REMOTE.connectOpen, 2, Buffer.of(0, 0, 0, 1, 0, 0, 0, 200))
    expect(dissect([client(short)])[0]).to.include('unknown: 000000c8')
    const surplus = callFrame(REMOTE.authList, 2, Buffer.alloc(4))
    expect(dissect([client(surplus)])[0]).to.include('unknown: 00000000')
  })
})

describe("procedure table beside the dissector's", () => {
  for (const program of ['remote', 'qemu', 'lxc'] as const) {
    it(`names the procedures of ${program} alike`, () => {
      const procedures = proceduresOf(PROGRAM[program])
      const finish = (proc: number): Sent =>
        client(
          encodeFrame({ prog: PROGRAM[program], vers: 1, proc, type: MESSAGE.stream, serial: 1, status: STATUS.ok })
        )
      const seen = summaries(procedures.map(({ number }) => finish(number)))
      const names = seen.map(line => /Proc=(\S+)/.exec(line)?.[1])
      // An older dissector ends earlier; up to there no name may differ.
      const known = names.findIndex(name => name !== undefined && /^(\d+|UNKNOWN|Unknown)/.test(name))
      const count = known < 0 ? names.length : known
      expect(names.slice(0, count)).to.deep.equal(procedures.slice(0, count).map(({ name }) => name))
      expect(count).to.be.at.least(program === 'remote' ? 443 : procedures.length)
    })
  }
})
