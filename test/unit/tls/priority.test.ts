import { expect } from 'chai'
import { StartupError } from '#main/config/startup-error.js'
import { tlsPriority } from '#main/config/tls-priority/tls-priority.js'
import { parsePolicy } from '#main/config/tls-priority/system-policy.js'
import { SecureContext } from '#workers/tls/secure-context.js'

const list = (text: string | undefined): string[] => (text ?? '').split(':')
const negotiation = (text?: string) => tlsPriority(text).negotiation

describe('tls_priority', () => {
  it('means NORMAL when nobody sets it: TLS 1.2 and 1.3, in the order of the client', () => {
    const { minVersion, maxVersion, suites, groups, serverOrder } = negotiation()
    expect({ minVersion, maxVersion, serverOrder }).to.deep.equal({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', serverOrder: false })
    expect(list(suites)).to.deep.equal([
      'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256', 'TLS_AES_128_CCM_SHA256'
    ])
    expect(list(groups)).to.deep.equal([
      'P-256', 'P-384', 'P-521', 'X25519', 'X448', 'ffdhe2048', 'ffdhe3072', 'ffdhe4096'
    ])
    expect(tlsPriority('NORMAL')).to.deep.equal(tlsPriority())
  })

  for (const same of [
    'normal', ' NORMAL', '@SYSTEM', '@LIBVIRT,SYSTEM', '@LIBVIRT,SYSTEM:-VERS-SSL3.0', 'NORMAL: -VERS-TLS1.0:%NO_TICKETS'
  ]) {
    it(`${same} is as good as NORMAL`, () => expect(tlsPriority(same)).to.deep.equal(tlsPriority('NORMAL')))
  }

  /** What people have in their files, with what tells it from NORMAL. */
  const used: [string, Partial<ReturnType<typeof negotiation>>][] = [
    ['SECURE256:+SECURE128:-VERS-TLS-ALL:+VERS-TLS1.2:-RSA', { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', suites: '' }],
    ['NORMAL:-CIPHER-ALL:+AES-256-GCM', {
      suites: 'TLS_AES_256_GCM_SHA384',
      ciphers:
        'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:AES256-GCM-SHA384:DHE-RSA-AES256-GCM-SHA384'
    }],
    ['NORMAL:-KX-ALL:+ECDHE-RSA:-CIPHER-ALL:+AES-128-GCM', { ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }],
    ['NORMAL:-MAC-ALL:+AEAD:-CIPHER-ALL:+AES-128-CBC:+AES-128-GCM:-KX-ALL:+RSA', { ciphers: 'AES128-GCM-SHA256' }],
    ['NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256', { signatures: 'rsa_pss_rsae_sha256:rsa_pkcs1_sha256' }],
    ['NONE:+VERS-TLS1.2:+AES-128-GCM:+ECDHE-RSA:+AEAD:+SIGN-ALL:+GROUP-ALL:+COMP-NULL', {
      minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256', suites: ''
    }],
    ['NORMAL:-VERS-ALL:+VERS-TLS1.3', { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: '' }],
    ['NORMAL:-VERS-TLS1.3', { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }],
    ['SUITEB192', {
      minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384', groups: 'P-384',
      signatures: 'ecdsa_secp384r1_sha384'
    }],
    ['SECURE192', { groups: 'P-384:P-521' }],
    ['SECURE192:+GROUP-FFDHE8192:+GROUP-DH-ALL', { groups: 'P-384:P-521:ffdhe8192:ffdhe2048:ffdhe3072:ffdhe4096' }],
    ['NORMAL:-GROUP-ALL:+GROUP-SECP384R1:+CURVE-X25519', { groups: 'P-384:X25519' }],
    ['NORMAL:%SERVER_PRECEDENCE', { serverOrder: true }],
    ['NORMAL:%NO_ETM:%FORCE_SESSION_HASH', { encryptThenMac: false, sessionHash: 'required' }],
    ['NORMAL:%COMPAT', { encryptThenMac: false, sessionHash: 'off' }]
  ]
  for (const [text, wanted] of used) {
    it(`${text} is understood`, () => expect(negotiation(text)).to.include(wanted))
  }

  it('forgets what OpenSSL lacks, however new', () => {
    const page =
      '@SYSTEM:-SIGN-ML-DSA-65:-SIGN-ML-DSA-44:-SIGN-ML-DSA-87:-GROUP-X25519-MLKEM768:-GROUP-SECP256R1-MLKEM768:-GROUP-SECP384R1-MLKEM1024'
    expect(negotiation(page).suites).to.equal(negotiation().suites)
    for (const name of [
      '3DES-CBC', 'ARCFOUR-128', 'CAMELLIA-256-GCM', 'SIGN-SLH-DSA-SHA2-128F', 'GROUP-MLKEM1024', 'GROUP-SECP521R1-MLKEM2048',
      'GROUP-GC256B', 'GOST28147-TC26Z-CNT', 'ANON-ECDH', 'SRP', 'PSK'
    ]) {
      expect(negotiation(`NORMAL:-${name}:!${name}`)).to.deep.equal(negotiation(), name)
    }
  })

  it('says what was asked for by name and cannot be had', () => {
    expect(tlsPriority('NORMAL:+VERS-TLS1.0:+CAMELLIA-256-GCM:+ANON-ECDH:+GROUP-GC256B:+SIGN-GOSTR341012-256:+AES-256-GCM').leftOut)
      .to.deep.equal(['VERS-TLS1.0', 'CAMELLIA-256-GCM', 'ANON-ECDH', 'GROUP-GC256B', 'SIGN-GOSTR341012-256'])
    expect(tlsPriority('NORMAL:+CAMELLIA-256-GCM:-CAMELLIA-256-GCM').leftOut).to.deep.equal([])
  })

  it('speaks a version only if a suite is left for it', () => {
    expect(negotiation('NORMAL:-CIPHER-ALL:+AES-256-CBC')).to.include({ maxVersion: 'TLSv1.2', suites: '' })
    expect(negotiation('NORMAL:-KX-ALL')).to.include({ minVersion: 'TLSv1.3', ciphers: '' })
    expect(negotiation('NORMAL:-GROUP-ALL')).to.include({ maxVersion: 'TLSv1.2', groups: undefined })
    expect(negotiation('NORMAL:-GROUP-ALL').ciphers).not.to.contain('ECDHE')
  })

  const refused: [string, string][] = [
    ['', "'' is not supported"],
    ['NORMALE', "'NORMALE' is not supported"],
    ['NORMAL:', "'' is not supported"],
    ['NORMAL:AES-128-GCM', "'AES-128-GCM' is not supported"],
    ['NORMAL:-AES', "'-AES' is not supported"],
    ['NORMAL:-AES-128-GCM ', "'-AES-128-GCM ' is not supported"],
    ['NORMAL:%COMPATIBLE', "'%COMPATIBLE' is not supported"],
    ['NORMAL:%compat', "'%compat' is not supported"],
    ['NORMAL:-VERS-TLS1.4', "'-VERS-TLS1.4' is not supported"],
    ['NORMAL:-SIGN-RSA-SHA11', "'-SIGN-RSA-SHA11' is not supported"],
    ['NORMAL:-GROUP-X25518', "'-GROUP-X25518' is not supported"],
    ['NORMAL:-NORMAL', "'-NORMAL' is not supported"],
    ['NORMAL:+constructor', "'+constructor' is not supported"],
    ['constructor', "'constructor' is not supported"],
    ['NORMAL:-VERS-ALL', 'no TLS version is left that is supported'],
    ['NORMAL:-VERS-ALL:+VERS-TLS1.1', 'no TLS version is left that is supported, of TLS1.1'],
    ['NORMAL:-VERS-TLS1.2', 'no TLS version is left that is supported, of TLS1.1, TLS1.0'],
    ['NORMAL:-CIPHER-ALL:+CAMELLIA-256-GCM', 'no cipher suite is left that is supported, with CAMELLIA-256-GCM'],
    ['NORMAL:-KX-ALL:+ANON-ECDH:-VERS-TLS1.3', 'no cipher suite is left that is supported, with '],
    ['NORMAL:-SIGN-ALL:+SIGN-GOSTR341012-256', 'no signature is left that is supported, of GOSTR341012-256'],
    ['SUITEB128:-GROUP-ALL:+GROUP-GC256B', 'no group is left that is supported, of GC256B'],
    ['@NOBODY', "'@NOBODY' is not known: GnuTLS is not configured on this host"]
  ]
  for (const [text, why] of refused) {
    it(`${text === '' ? 'an empty string' : text} is refused by name`, () =>
      expect(() => tlsPriority(text)).to.throw(StartupError, `Failed to set TLS session priority to ${text}: ${why}`))
  }

  it('gives what OpenSSL understands', () => {
    const everything = 'NONE:+VERS-ALL:+CIPHER-ALL:+MAC-ALL:+KX-ALL:+GROUP-ALL:+SIGN-ALL:+CAMELLIA-256-CBC:+SHA256:+SHA384:+DHE-DSS'
    for (const text of [everything, 'NORMAL', 'SUITEB128', 'NORMAL:-GROUP-ALL', 'NORMAL:-KX-ALL', 'NORMAL:%COMPAT:%SERVER_PRECEDENCE']) {
      new SecureContext({ ...tlsPriority(text).negotiation, identities: [], authorities: [] }).free()
    }
  })

  describe('asks certificates for strength', () => {
    const bits = (text: string) => {
      const { rsaBits, curveBits, digestBits, suiteB } = tlsPriority(text).least
      return { rsaBits, curveBits, digestBits, suiteB }
    }
    const low = { rsaBits: 1024, curveBits: 160, digestBits: 80, suiteB: undefined }
    const high = { rsaBits: 3072, curveBits: 256, digestBits: 128, suiteB: undefined }
    const none = { rsaBits: 0, curveBits: 0, digestBits: 0 }
    const strengths: [string, object][] = [
      ['NORMAL', low],
      ['PFS', low],
      ['SECURE128', low],
      ['SECURE192', high],
      ['SECURE256', high],
      ['LEGACY', { ...none, suiteB: undefined }],
      ['SUITEB128', { ...none, suiteB: 128 }],
      ['SUITEB192', { ...none, suiteB: 192 }],
      ['SECURE256:+SECURE128', low],
      ['NORMAL:+SECURE256', low],
      ['LEGACY:+SECURE256', high],
      ['NORMAL:%PROFILE_HIGH', high],
      ['NORMAL:%PROFILE_SUITEB192', { ...none, suiteB: 128 }],
      ['SECURE256:%PROFILE_LOW', low]
    ]
    for (const [text, wanted] of strengths) it(text, () => expect(bits(text)).to.deep.equal(wanted))

    it('and takes weak digests only when it is told to', () => {
      expect(tlsPriority('NORMAL').least).to.include({ sha1: false, md5: false })
      expect(tlsPriority('NORMAL:%VERIFY_ALLOW_SIGN_WITH_SHA1').least).to.include({ sha1: true, md5: false })
      expect(tlsPriority('NORMAL:%VERIFY_ALLOW_BROKEN').least).to.include({ sha1: true, md5: true })
    })

    it('and leaves the revocation list alone when it is told to', () => {
      expect(tlsPriority('NORMAL').revocation).to.equal(true)
      expect(tlsPriority('NORMAL:%VERIFY_DISABLE_CRL_CHECKS').revocation).to.equal(false)
    })
  })

  describe('with a configuration of the host', () => {
    const file = '/etc/gnutls/config'
    const policy = parsePolicy('[priorities]\n# ours\nLIBVIRT = PFS:-VERS-TLS1.3 ; not yet\nSYSTEM=SECURE256\nlibvirt=NORMAL\n', file)

    it('takes the first word that is there, and what follows the colon', () => {
      const meant = (text: string, same: string): unknown =>
        expect(tlsPriority(text, policy)).to.deep.equal(tlsPriority(same), text)
      meant('@LIBVIRT,SYSTEM', 'PFS:-VERS-TLS1.3')
      meant('@NOBODY,SYSTEM', 'SECURE256')
      meant('@NOBODY,SYSTEM:+AES-128-GCM:%COMPAT', 'SECURE256:+AES-128-GCM:%COMPAT')
      meant('@libvirt', 'NORMAL')
      meant('NORMAL', 'NORMAL')
    })

    it('refuses words that are not in it', () =>
      expect(() => tlsPriority('@NOBODY,Libvirt:-RSA', policy))
        .to.throw(StartupError, `'@NOBODY,Libvirt' is not known: '${file}' does not have it`))

    it('takes a file with a line that is no setting for empty', () =>
      expect(() => tlsPriority('@SYSTEM', parsePolicy('SYSTEM=NORMAL\nnonsense\n', file))).to.throw(StartupError, "'@SYSTEM' is not known"))

    it('leaves out what the host does not allow', () => {
      const blocks = parsePolicy(
        '[overrides]\ntls-disabled-cipher = AES-128-GCM\ntls-disabled-kx = rsa\ndisabled-version = tls1.2\n' +
          'tls-disabled-group = GROUP-SECP256R1\ndisabled-curve = x25519\ninsecure-hash = sha1\ninsecure-sig = RSA-SHA256\n' +
          'min-verification-profile = medium\n',
        file
      )
      const same = tlsPriority(
        'NORMAL:-AES-128-GCM:-RSA:-VERS-ALL:+VERS-TLS1.3:-GROUP-SECP256R1:-GROUP-X25519:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:' +
          '-SIGN-RSA-SHA256:%PROFILE_MEDIUM'
      )
      expect(tlsPriority('NORMAL:-VERS-TLS1.1:-VERS-TLS1.0', blocks)).to.deep.equal(same)
    })

    it('counts as asked for by name only what tls_priority itself names', () => {
      const names = parsePolicy('SYSTEM=NORMAL:+GROUP-FFDHE8192:+ANON-ECDH\n', file)
      expect(tlsPriority('@SYSTEM', names)).to.deep.include({ leftOut: [], negotiation: negotiation('NORMAL') })
      const own = tlsPriority('@SYSTEM:+GROUP-FFDHE8192:+ANON-DH', names)
      expect(own.leftOut).to.deep.equal(['ANON-DH'])
      expect(list(own.negotiation.groups)).to.include('ffdhe8192')
    })

    it('does with what the host allows', () => {
      const allows = parsePolicy(
        '[global]\noverride-mode = allowlist\n[overrides]\n' +
          'tls-enabled-cipher = AES-256-GCM\ntls-enabled-mac = AEAD\ntls-enabled-kx = ECDHE-RSA\n' +
          'tls-enabled-group = GROUP-SECP384R1\nenabled-curve = SECP384R1\nenabled-version = TLS1.2\n' +
          'secure-hash = SHA384\nsecure-sig = RSA-SHA384\nsecure-sig = RSA-SHA512\ntls-session-hash = require\n' +
          'min-verification-profile = high\nallow-rsa-pkcs1-encrypt = false\n[priorities]\nSYSTEM=NONE\n',
        file
      )
      const same = 'NONE:+VERS-TLS1.2:+AES-256-GCM:+AEAD:+ECDHE-RSA:+GROUP-SECP384R1:+SIGN-RSA-SHA384:%FORCE_SESSION_HASH:%PROFILE_HIGH'
      expect({ ...tlsPriority('@SYSTEM', allows), leftOut: [] }).to.deep.equal(tlsPriority(same))
      const normal = tlsPriority('NORMAL', allows).negotiation
      expect(normal).to.include({ maxVersion: 'TLSv1.2', groups: 'P-384:ffdhe2048:ffdhe3072:ffdhe4096' })
      expect(normal).to.include({ signatures: 'rsa_pkcs1_sha384' })
    })
  })
})
