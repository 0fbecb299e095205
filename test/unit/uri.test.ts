import { expect } from 'chai'
import fc from 'fast-check'
import { RemoteError } from '#protocol/errors.js'
import { aliasMap, PROBE_ORDER_SESSION, PROBE_ORDER_SYSTEM, resolveName } from '#protocol/uri.js'

const none = { aliases: new Map<string, string>() }

function refusal(name: string): RemoteError {
  try {
    resolveName(name, none)
  } catch (error) {
    if (error instanceof RemoteError) return error
    throw error
  }
  throw new Error(`${name} was accepted`)
}

/** name, upstream name, reported URI (when it differs from the name) */
const accepted: [string, string, string?][] = [
  ['qemu:///system', 'qemu:///system'],
  ['qemu:///session', 'qemu:///session'],
  ['network:///system', 'network:///system'],
  ['test:///default', 'test:///default'],
  ['test:///etc/node.xml', 'test:///etc/node.xml'],
  ['bogus:///system', 'bogus:///system'],
  ['qemu+unix:///system', 'qemu:///system'],
  ['qemu+UNIX:///system', 'qemu:///system'],
  ['QEMU:///system', 'QEMU:///system'],
  ['xen', 'xen:///system', 'xen:///system'],
  ['XEN', 'xen:///system', 'xen:///system'],
  ['xen://', 'xen:///system', 'xen:///system'],
  ['qemu:/system', 'qemu:///system', 'qemu:///system'],
  ['qemu:%2Fsystem', 'qemu:///system', 'qemu:///system'],
  ['qemu+unix://', 'qemu://'],
  ['qemu:////a/../b//c', 'qemu:////a/../b//c'],
  ['qemu+unix://user@/system', 'qemu:///system'],
  ['qemu+unix://:99/system', 'qemu:///system', 'qemu+unix:///system'],
  ['qemu:///sys%74em', 'qemu:///system', 'qemu:///system'],
  ["qemu:///a%20b;@&=+$,:!~*'()", "qemu:///a%20b;@&=+$,%3A!~*'()", "qemu:///a%20b;@&=+$,%3A!~*'()"],
  ['qemu:///sys%c3%a9', 'qemu:///sys%C3%A9', 'qemu:///sys%C3%A9'],
  ['qemu:///a%00b', 'qemu:///a', 'qemu:///a'],
  ['qemu:///system#fr%20ag/?', 'qemu:///system#fr%20ag/?'],
  ['qemu:///system?mode=direct', 'qemu:///system'],
  ['qemu:///system?foo=bar', 'qemu:///system?foo=bar'],
  ['qemu:///system?foo=b%2Fa%20r%c3%a9', 'qemu:///system?foo=b%2Fa%20r%C3%A9'],
  ["qemu:///system?foo=b/a-r_.~!*'()", 'qemu:///system?foo=b%2Fa-r_.~%21%2A%27%28%29'],
  ['qemu:///system?foo', 'qemu:///system?foo='],
  ['qemu:///system?=foo', 'qemu:///system'],
  ['qemu:///system?&a=1;b=2&#x', 'qemu:///system?a=1%3Bb%3D2#x'],
  ['qemu:///system?name=qemu:///session%3Fa=b', 'qemu:///session?a=b'],
  ['qemu:///system?NAME=a&name=b', 'b'],
  ['qemu:///system?name=', ''],
  ['remote+unix:///?socket=/p', ''],
  ['remote:///?socket=/p', ''],
  ['remote:///?socket=/p&name=foo', 'foo']
]

describe('name in CONNECT_OPEN', () => {
  for (const [name, upstreamName, reportedUri = name] of accepted) {
    it(`${name} opens ${upstreamName || 'whatever the daemon finds'}`, () => {
      expect(resolveName(name, none)).to.include({ upstreamName, reportedUri })
    })
  }

  it('tells the driver and the path', () => {
    expect(resolveName('qemu+unix:///system?a=b', none)).to.deep.equal({
      scheme: 'qemu',
      path: '/system',
      upstreamName: 'qemu:///system?a=b',
      reportedUri: 'qemu+unix:///system?a=b',
      opensFile: false
    })
  })

  it('tells whether whoever opens it reads a file that it names', () => {
    const opensFile = (name: string): boolean => resolveName(name, none)!.opensFile
    for (const name of ['test:///etc/passwd', 'test:/etc/passwd', 'TEST:///x', 'test+unix:///x', 'test:///%65tc/passwd',
      'test:///default/../../etc/passwd', 'test:////default', 'qemu:///system?name=test:///etc/passwd',
      'qemu:///system?name=test:/etc/passwd', 'qemu:///system?NAME=Test%3A%2F%2F%2Fx%23y']) {
      expect(opensFile(name), name).to.equal(true)
    }
    for (const name of ['test:///default', 'test:///', 'test:///d%65fault', 'test:///default?a=b', 'qemu:///etc/passwd',
      'qemu:///system?name=test:///default', 'test:///x?name=qemu:///system', 'qemu:///system?name=']) {
      expect(opensFile(name), name).to.equal(false)
    }
  })

  it('leaves an absent or empty name to probing', () => {
    expect(resolveName(undefined, none)).to.equal(undefined)
    expect(resolveName('', none)).to.equal(undefined)
    expect(PROBE_ORDER_SYSTEM).to.deep.equal(['xen', 'qemu', 'lxc', 'vbox', 'bhyve', 'vz'])
    expect(PROBE_ORDER_SESSION).to.deep.equal(['qemu', 'vbox'])
  })

  it('hands out the socket that the client wishes, without its escapes', () => {
    expect(resolveName('qemu:///system?socket=/run/a%20b', none)?.socketParam).to.equal('/run/a b')
    expect(resolveName('qemu:///system?SOCKET=', none)?.socketParam).to.equal('')
    expect(resolveName('qemu:///system', none)).not.to.have.property('socketParam')
  })

  it('keeps every parameter of the opener away from the daemon', () => {
    const query =
      'no_verify=1&no_tty=0&no_sanity=1&command=x&auth=y&sshauth=z&netcat=a&keyfile=b&pkipath=c&known_hosts=d' +
      '&known_hosts_verify=e&tls_priority=f&proxy=g&authfile=h&Mode=direct&socket=/p'
    expect(resolveName(`qemu:///system?${query}&kept=1`, none)).to.include({
      upstreamName: 'qemu:///system?kept=1',
      reportedUri: `qemu:///system?${query}&kept=1`
    })
  })

  it('does not let the name of a parameter smuggle in another one', () => {
    expect(resolveName('lxc:///?a%3Db%26socket=/x', none)?.upstreamName).to.equal('lxc:///?a%3Db%26socket=%2Fx')
  })

  it('knows the aliases of libvirt.conf', () => {
    const aliases = aliasMap(['hail=qemu:///system', 'sleet=qemu+unix:///session?socket=/p', 'hail=lxc:///'])
    expect(resolveName('hail', { aliases })).to.include({ scheme: 'qemu', reportedUri: 'qemu:///system' })
    expect(resolveName('sleet', { aliases })).to.include({ upstreamName: 'qemu:///session', socketParam: '/p' })
    expect(() => aliasMap(['hail'])).to.throw("Malformed 'uri_aliases' config entry 'hail', expected 'alias=uri:")
    expect(() => aliasMap(['h il=x:///'])).to.throw("aliases may only contain 'a-Z, 0-9, _, -'")
  })
})

/** name, code, domain, message */
const refused: [string, number, number, string][] = [
  ['qemu', 5, 0, "no connection driver available for URI 'qemu' does not include a driver name"],
  ['//host/system', 5, 0, "no connection driver available for URI '//host/system' does not include a driver name"],
  ['::::', 1, 45, 'internal error: Unable to parse URI ::::'],
  ['qemu:///a b', 1, 45, 'internal error: Unable to parse URI qemu:///a b'],
  ['qemu:///é', 1, 45, 'internal error: Unable to parse URI qemu:///é'],
  ['qemu:///%zz', 1, 45, 'internal error: Unable to parse URI qemu:///%zz'],
  ['qemu:///?a=[]', 1, 45, 'internal error: Unable to parse URI qemu:///?a=[]'],
  ['qemu://system', 1, 0, 'internal error: invalid URI qemu://system (maybe you want qemu:///system)'],
  ['qemu:system', 1, 0, 'internal error: invalid URI qemu://system (maybe you want qemu:///system)'],
  ['vz://session/?x', 1, 0, 'internal error: invalid URI vz://session/?x (maybe you want vz:///session)'],
  ['esx://host/', 67, 0, "unsupported configuration: libvirt was built without the 'esx' driver"],
  ['vpx://host/', 67, 0, "unsupported configuration: libvirt was built without the 'vpx' driver"],
  ['gsx://host/', 67, 0, "unsupported configuration: libvirt was built without the 'gsx' driver"],
  ['hyperv://host/', 67, 0, "unsupported configuration: libvirt was built without the 'hyperv' driver"],
  ['Parallels:///', 67, 0, "unsupported configuration: libvirt was built without the 'Parallels' driver"],
  ['qemu+unix://h/system', 8, 13, "invalid argument: using unix socket and remote server 'h' is not supported."],
  [
    'qemu+bogus:///system', 8, 13, 'invalid argument: remote_open: transport in URL not recognised ' +
      '(should be tls|unix|ssh|ext|tcp|libssh2|libssh)'
  ],
  ['qemu:///system?mode=auto', 8, 13, 'invalid argument: Connections from inside daemon must be direct'],
  ['qemu:///system?mode=legacy', 8, 13, 'invalid argument: Connections from inside daemon must be direct'],
  ['qemu:///system?mode=foo', 8, 13, "invalid argument: Unknown remote mode 'foo'"]
]

describe('name that cannot be opened', () => {
  for (const [name, code, domain, message] of refused) {
    it(`${name}: ${message}`, () => expect(refusal(name)).to.include({ code, domain, message }))
  }

  const remote = [
    'qemu://host/system', 'qemu+tcp://host/system', 'qemu+tls://[::1]:1/system', 'qemu+ssh://host/system',
    'qemu+ext:///system?command=/bin/true', 'test+libssh://u@host/default', 'qemu+libssh2:///system'
  ]
  for (const name of remote) {
    it(`${name} would leave this machine`, () => {
      expect(refusal(name)).to.include({
        code: 5,
        message: `no connection driver available for ${name} (only local drivers can be opened here)`
      })
    })
  }

  it('lxc:host/x would become a host at the daemon', () => {
    const message = 'no connection driver available for lxc://host/x (only local drivers can be opened here)'
    expect(refusal('lxc:host/x')).to.include({ code: 5, message })
    expect(refusal('lxc:u@host')).to.include({ code: 5 })
  })

  const smuggled = [
    'lxc:host/system', 'qemu+ext:///x?command=/bin/sh', 'qemu://host/system', 'lxc:///?socket=/p',
    'qemu+unix:///system'
  ]
  for (const name of smuggled) {
    it(`${name} is refused as the name for the daemon, too`, () => {
      expect(refusal(`qemu:///system?name=${encodeURIComponent(name)}`).message).to.equal(
        `no connection driver available for ${name} (only local drivers can be opened here)`
      )
    })
  }

  it('puts the detail into the message as it stands', () => {
    expect(refusal("qemu:///system?mode=$'$%26").message).to.equal("invalid argument: Unknown remote mode '$'$&'")
  })

  it('refuses a name of four megabytes at once', () => {
    expect(refusal(`qemu:///${'a'.repeat(4_000_000)}`).code).to.equal(1)
  })

  it('answers any name with a result or a RemoteError', () => {
    const parts = fc.constantFrom('qemu', '+unix', ':', '/', '//', '?', '#', '@', '%41', '%', '[', '&', '=', 'name')
    const names = fc.oneof(fc.string(), fc.array(parts, { maxLength: 12 }).map(list => list.join('')))
    fc.assert(
      fc.property(names, name => {
        try {
          const resolved = resolveName(name, none)
          if (!resolved) return
          expect(resolveName(resolved.reportedUri, none)).to.deep.equal(resolved)
          if (resolved.upstreamName.startsWith(resolved.scheme)) {
            expect(resolveName(resolved.upstreamName, none)).to.include({ path: resolved.path })
          }
        } catch (error) {
          expect(error).to.be.instanceOf(RemoteError)
        }
      })
    )
  })
})
