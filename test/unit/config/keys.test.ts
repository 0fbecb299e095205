import { expect } from 'chai'
import { parseConf } from '#main/config/grammar.js'
import { fieldName, KEYS, keyNames, readSettings } from '#main/config/keys.js'

const settings = (text: string) => readSettings(parseConf(text, 'FILE'), 'FILE')

describe('the keys of the configuration file', () => {
  it('all have their default when the file is empty', () => {
    const { settings: found, given, unknown } = settings('')
    for (const name of keyNames) {
      expect((found as unknown as Record<string, unknown>)[fieldName(name)], name).to.equal(KEYS[name].default)
    }
    expect(given.size).to.equal(0)
    expect(unknown).to.deep.equal([])
  })

  it('appear under their name in camel case', () => {
    const { settings: found, given } = settings(
      'listen_tls=+1\nkeepalive_interval=-1\nmax_clients=4294967295\nca_file="/x"\ntls_allowed_dn_list=["a","b"]'
    )
    expect(found.listenTls).to.equal(true)
    expect(found.keepaliveInterval).to.equal(-1)
    expect(found.maxClients).to.equal(4294967295)
    expect(found.caFile).to.equal('/x')
    expect(found.tlsAllowedDnList).to.deep.equal(['a', 'b'])
    expect([...given]).to.have.members([
      'listen_tls',
      'keepalive_interval',
      'max_clients',
      'ca_file',
      'tls_allowed_dn_list'
    ])
  })

  it('tell an absent list from an empty one', () => {
    expect(settings('').settings.tlsAllowedDnList).to.equal(undefined)
    expect(settings('tls_allowed_dn_list=[]').settings.tlsAllowedDnList).to.deep.equal([])
  })

  it('accept anything for keys that libvirt dropped', () => {
    expect(() => settings('mdns_adv="zzz"\nmax_requests=[1]\nkeepalive_required="x"')).not.to.throw()
  })

  it('report unknown names with their line instead of refusing them', () => {
    expect(settings('listen_tcp=1\nlisten_tpc=1').unknown).to.deep.equal([{ name: 'listen_tpc', line: 2 }])
    expect(settings('constructor=1').unknown).to.deep.equal([{ name: 'constructor', line: 1 }])
  })

  it('do not look at later assignments', () => {
    expect(settings('max_clients=7\nmax_clients="x"').settings.maxClients).to.equal(7)
  })

  const refused: [string, string][] = [
    ['listen_tls="x"', "internal error: FILE: expected a bool for 'listen_tls' parameter"],
    ['listen_tls=-1', "internal error: FILE: expected a bool for 'listen_tls' parameter"],
    ['listen_tls=2', "internal error: FILE: value for 'listen_tls' parameter must be 0 or 1"],
    ['tls_port=16514', "internal error: FILE: expected a string for 'tls_port' parameter"],
    ['unix_sock_rw_perms=777', "internal error: FILE: expected a string for 'unix_sock_rw_perms' parameter"],
    ['max_clients="x"', "internal error: FILE: expected an unsigned integer for 'max_clients' parameter"],
    ['max_clients=-0', "internal error: FILE: expected an unsigned integer for 'max_clients' parameter"],
    ['max_clients=4294967296', "internal error: FILE: value for 'max_clients' parameter must be in range 0:4294967295"],
    ['keepalive_interval="x"', "internal error: FILE: expected a signed integer for 'keepalive_interval' parameter"],
    [
      'keepalive_interval=2147483648',
      "internal error: FILE: value for 'keepalive_interval' parameter must be in range -2147483648:2147483647"
    ],
    [
      'keepalive_interval=-2147483649',
      "internal error: FILE: value for 'keepalive_interval' parameter must be in range -2147483648:2147483647"
    ],
    ['access_drivers="none"', "internal error: FILE: expected a string list for 'access_drivers' parameter"],
    [
      'tls_allowed_dn_list=["a",1]',
      "configuration file syntax error: FILE: expected a string list for 'tls_allowed_dn_list' parameter"
    ]
  ]
  for (const [text, message] of refused) {
    it(`refuse ${text}`, () => expect(() => settings(text)).to.throw(message))
  }
})
