import { expect } from 'chai'
import { ConfError } from '#main/config/grammar.js'
import { tlsPriority } from '#main/tls/priority.js'
import { SecureContext } from '#workers/tls/secure-context.js'

const SUITES_256 = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'

describe('tls_priority', () => {
  it('means TLS 1.2 and 1.3 when nobody sets it, as NORMAL does', () => {
    const { minVersion, maxVersion, suites, groups, serverOrder } = tlsPriority(undefined)
    expect({ minVersion, maxVersion, groups, serverOrder }).to.deep.equal({
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      groups: undefined,
      serverOrder: false
    })
    expect(suites).to.equal(`${SUITES_256}:TLS_AES_128_GCM_SHA256`)
    expect(tlsPriority('NORMAL')).to.deep.equal(tlsPriority(undefined))
  })

  for (const same of ['PERFORMANCE', 'SECURE128', '@SYSTEM', '@LIBVIRT,SYSTEM', 'NORMAL:%COMPAT:-VERS-TLS1.0:-VERS-SSL3.0']) {
    it(`${same} is as good as NORMAL`, () => expect(tlsPriority(same)).to.deep.equal(tlsPriority('NORMAL')))
  }

  it('SECURE256 leaves 256 bits and large groups', () => {
    expect(tlsPriority('SECURE256')).to.include({
      suites: SUITES_256,
      ciphers: 'ECDHE+AESGCM+AES256:ECDHE+CHACHA20:DHE+AESGCM+AES256',
      groups: 'P-384:P-521'
    })
  })

  it('SUITEB192 is TLS 1.2 alone', () => {
    expect(tlsPriority('SUITEB192')).to.include({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', suites: '', groups: 'P-384' })
  })

  const versions: [string, string, string][] = [
    ['NORMAL:-VERS-TLS1.3', 'TLSv1.2', 'TLSv1.2'],
    ['NORMAL:-VERS-TLS1.2', 'TLSv1.3', 'TLSv1.3'],
    ['NORMAL:-VERS-ALL:+VERS-TLS1.3', 'TLSv1.3', 'TLSv1.3'],
    ['NORMAL:-VERS-TLS-ALL:+VERS-TLS1.2:+VERS-TLS1.1', 'TLSv1.2', 'TLSv1.2'],
    ['SECURE256:!VERS-TLS1.3', 'TLSv1.2', 'TLSv1.2']
  ]
  for (const [text, minVersion, maxVersion] of versions) {
    it(`${text} allows ${minVersion} to ${maxVersion}`, () =>
      expect(tlsPriority(text)).to.include({ minVersion, maxVersion }))
  }

  it('takes algorithms away', () => {
    const { ciphers, suites } = tlsPriority('NORMAL:-AES-128-GCM:!CHACHA20-POLY1305:-RSA')
    expect(suites).to.equal('TLS_AES_256_GCM_SHA384')
    expect(ciphers).to.match(/:!AES128\+AESGCM:!CHACHA20:!kRSA$/)
  })

  it('takes groups away and adds them', () => {
    expect(tlsPriority('NORMAL:-GROUP-X25519').groups).to.equal('P-256:P-384:P-521:X448')
    expect(tlsPriority('NORMAL:-GROUP-ALL:+GROUP-SECP384R1:+CURVE-X25519').groups).to.equal('P-384:X25519')
  })

  it('lets the server choose', () => expect(tlsPriority('NORMAL:%SERVER_PRECEDENCE').serverOrder).to.equal(true))

  const refused: [string, string][] = [
    ['', "'' is not supported"],
    ['NORMALE', "'NORMALE' is not supported"],
    ['normal', "'normal' is not supported"],
    ['NONE:+VERS-TLS1.2', "'NONE' is not supported"],
    ['NORMAL:', "'' is not supported"],
    ['NORMAL:-AES', "'-AES' is not supported"],
    ['NORMAL:+AES-128-GCM', "'+AES-128-GCM' is not supported"],
    ['NORMAL:%UNSAFE_RENEGOTIATION', "'%UNSAFE_RENEGOTIATION' is not supported"],
    ['NORMAL:-VERS-TLS1.4', "'-VERS-TLS1.4' is not supported"],
    ['NORMAL:-constructor', "'-constructor' is not supported"],
    ['constructor', "'constructor' is not supported"],
    ['NORMAL:-VERS-ALL', 'no TLS version is left that is supported'],
    ['NORMAL:-VERS-ALL:+VERS-TLS1.1', 'no TLS version is left that is supported'],
    ['SECURE256:-AES-256-GCM:-CHACHA20-POLY1305', 'no cipher suite of TLS 1.3 is left'],
    ['NORMAL:-GROUP-ALL', 'no group is left']
  ]
  for (const [text, why] of refused) {
    it(`${text === '' ? 'an empty string' : text} is refused by name`, () =>
      expect(() => tlsPriority(text)).to.throw(ConfError, `Failed to set TLS session priority to ${text}: ${why}`))
  }

  it('gives what OpenSSL understands', () => {
    const understood = ['NORMAL', 'SECURE256', 'PFS', 'SUITEB128', 'SUITEB192', 'NORMAL:-GROUP-ALL:+GROUP-SECP384R1:+GROUP-X448']
    const all = ['AES-128-GCM', 'AES-128-CBC', 'AES-256-CBC', 'AES-128-CCM', 'AES-256-CCM', 'CAMELLIA-128-CBC', '3DES-CBC',
      'CAMELLIA-256-CBC', 'ARCFOUR-128', 'MD5', 'SHA1', 'RSA', 'DHE-RSA', 'DHE-DSS', 'ECDHE-ECDSA', 'CHACHA20-POLY1305']
    understood.push(`NORMAL:${all.map(name => `-${name}`).join(':')}`, 'NORMAL:-ECDHE-RSA', 'NORMAL:-AES-256-GCM')
    for (const text of understood) {
      new SecureContext({ ...tlsPriority(text), identities: [], authorities: [] }).free()
    }
  })
})
