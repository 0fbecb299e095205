import { expect } from 'chai'
import { MAX_PROXY_HEADER, ProxyHeaderError, readProxyHeader, type ProxyHeader } from '#workers/arrival/proxy-header.js'
import { local, sslValue, tlv, v1, v2, v2Raw } from '../../support/proxy-headers.js'
import { Random } from '../../support/random.js'

const CLIENT = Buffer.from('what the client says')
const DER = Buffer.from('30820101', 'hex')
const SOURCE = { ip: '198.51.100.7', port: 4711 }
const from = (...values: Uint8Array[]): Buffer => v2({ from: SOURCE.ip }, ...values)

const withSum = (sum: number): Buffer => {
  const value = Buffer.alloc(4)
  value.writeUInt32BE(sum, 0)
  return tlv(0x03, value)
}

function crc32c(bytes: Buffer): number {
  const table = Array.from({ length: 256 }, (_, n) => {
    let value = n
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
    return value >>> 0
  })
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 255]!
  return ~crc >>> 0
}

const accepted: [what: string, header: Buffer, source: ProxyHeader['source'], tls?: ProxyHeader['tls']][] = [
  ['version 1, IPv4', v1({ from: '198.51.100.7' }), { ip: '198.51.100.7', port: 4711 }],
  ['version 1, IPv6, in its short form', v1({ from: '2001:DB8:0:0::7' }), { ip: '2001:db8::7', port: 4711 }],
  ['version 1, IPv4 in IPv6', v1({ from: '::ffff:198.51.100.7' }), { ip: '198.51.100.7', port: 4711 }],
  ['version 1 of a source that is not known', Buffer.from('PROXY UNKNOWN\r\n'), undefined],
  ['version 1, not known, with more behind it', Buffer.from('PROXY UNKNOWN ffff:: ::1 65535 65535\r\n'), undefined],
  ['version 1 as long as it can be', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`), undefined],
  ['version 2, IPv4', v2({ from: '198.51.100.7', fromPort: 65535 }), { ip: '198.51.100.7', port: 65535 }],
  ['version 2, IPv6', v2({ from: '2001:db8::7' }), { ip: '2001:db8::7', port: 4711 }],
  ['version 2, IPv4 in IPv6', v2({ from: '::ffff:c633:6407' }), { ip: '198.51.100.7', port: 4711 }],
  ['version 2, UNIX sockets', v2Raw(1, 0x31, Buffer.alloc(216)), undefined],
  ['version 2 of an address family that is not told', v2Raw(1, 0x00, Buffer.alloc(0)), undefined],
  ['version 2 with values that are of no concern', from(tlv(0x04, Buffer.alloc(40)), tlv(0x02, CLIENT)), SOURCE],
  ['a proxy\'s own connection', local(), undefined],
  ['a proxy\'s own connection, whatever it says', v2Raw(0, 0x11, Buffer.alloc(100, 0xff)), undefined],
  ['as many values as there may be', v2Raw(1, 0x31, Buffer.concat([Buffer.alloc(216), tlv(0x04, Buffer.alloc(4093))])), undefined],
  ['TLS with a certificate', from(sslValue(7, 0, tlv(0x21, CLIENT), tlv(0x28, DER))), SOURCE,
    { showedCertificate: true, verified: true, certificate: DER }],
  ['TLS with a certificate in text', from(sslValue(3, 0), tlv(0xe0, Buffer.from(DER.toString('base64')))), SOURCE,
    { showedCertificate: true, verified: true, certificate: DER }],
  ['TLS with a certificate that is not verified', from(sslValue(7, 20)), SOURCE,
    { showedCertificate: true, verified: false, certificate: undefined }],
  ['TLS without a certificate', from(sslValue(1, 0), tlv(0xe0, Buffer.from('-'))), SOURCE,
    { showedCertificate: false, verified: true, certificate: undefined }],
  ['no TLS, which it says', from(sslValue(0, 0)), SOURCE]
]

const refused: [what: string, header: Buffer, why: RegExp][] = [
  ['a libvirt frame', Buffer.from('0000001c20008086', 'hex'), /does not begin/],
  ['a TLS hello', Buffer.from('160301', 'hex'), /does not begin/],
  ['another word', Buffer.from('PROXIES '), /does not begin/],
  ['version 1 without end', Buffer.from(`PROXY TCP4 ${'1'.repeat(100)}`), /longer than 107/],
  ['version 1 that ends too late', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`), /longer than 107/],
  ['version 1 of another family', Buffer.from('PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n'), /family/],
  ['version 1 with names', Buffer.from('PROXY TCP4 localhost 1.2.3.4 1 1\r\n'), /addresses/],
  ['version 1 with an address of the other family', Buffer.from('PROXY TCP4 ::1 ::1 1 1\r\n'), /addresses/],
  ['version 1 with a scope', Buffer.from('PROXY TCP6 fe80::1%2 ::1 1 1\r\n'), /addresses/],
  ['version 1 with a port too large', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n'), /addresses/],
  ['version 1 with zeros before the port', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n'), /addresses/],
  ['version 1 with too little', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n'), /addresses/],
  ['version 1 with too much', Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n'), /addresses/],
  ['version 3', Buffer.concat([v2({ from: '1.2.3.4' }).subarray(0, 12), Buffer.from('3111000c', 'hex')]), /version/],
  ['another command', v2Raw(2, 0x11, Buffer.alloc(12)), /command/],
  ['another family', v2Raw(1, 0x41, Buffer.alloc(12)), /addresses/],
  ['addresses that are too short', v2Raw(1, 0x21, Buffer.alloc(12)), /addresses/],
  ['datagrams', v2Raw(1, 0x12, Buffer.alloc(12)), /stream/],
  ['more than there may be', v2Raw(1, 0x11, Buffer.alloc(4313)).subarray(0, 16), /longer than 4328/],
  ['a value that is cut off', from(tlv(0x02, CLIENT).subarray(0, -1)), /value in it is cut off/],
  ['half a value\'s head', from(Buffer.from([2, 0])), /value in it is cut off/],
  ['too little of TLS', from(tlv(0x20, Buffer.alloc(4))), /TLS is cut off/],
  ['a value of TLS that is cut off', from(sslValue(7, 0, Buffer.from([0x28, 0, 9, 1]))), /value in it is cut off/],
  ['what is no base64', from(sslValue(3, 0), tlv(0xe0, Buffer.from('?!?!'))), /base64/],
  ['a checksum that is wrong', from(withSum(1)), /checksum is wrong/],
  ['a checksum that is too short', from(tlv(3, Buffer.alloc(3))), /checksum is cut off/]
]

describe('the header of a proxy', () => {
  for (const [what, header, source, tls] of accepted) {
    it(`is read: ${what}`, () => {
      const expected = { length: header.length, source, tls }
      expect(readProxyHeader(Buffer.concat([header, CLIENT])), 'with the client behind it').to.deep.equal(expected)
      for (let part = 0; part < header.length; part++) {
        expect(readProxyHeader(header.subarray(0, part)), `${part} bytes of it`).to.equal(undefined)
      }
      expect(readProxyHeader(header)).to.deep.equal(expected)
    })
  }

  for (const [what, header, why] of refused) {
    it(`is refused: ${what}`, () => {
      expect(() => readProxyHeader(header)).to.throw(ProxyHeaderError, why)
    })
  }

  it('is read with a checksum that is right', () => {
    expect(crc32c(Buffer.from('123456789'))).to.equal(0xe3069283)
    const sum = crc32c(from(tlv(0x02, CLIENT), withSum(0)))
    const header = from(tlv(0x02, CLIENT), withSum(sum))
    expect(readProxyHeader(header)).to.deep.equal({ length: header.length, source: { ip: '198.51.100.7', port: 4711 }, tls: undefined })
  })

  it('can hold anything: a hundred thousand that were changed by chance are read, awaited or refused', function () {
    this.timeout(60_000)
    const seed = Date.now() & 0x7fffffff
    const random = new Random(seed)
    const counts = { read: 0, awaited: 0, refused: 0 }
    for (let i = 0; i < 100_000; i++) {
      const bytes = Buffer.from(random.pick(accepted)[1])
      for (let changes = random.integer(0, 3); changes > 0; changes--) bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255)
      const sent = bytes.subarray(0, random.chance(0.2) ? random.integer(0, bytes.length) : bytes.length)
      try {
        const header = readProxyHeader(sent)
        counts[header === undefined ? 'awaited' : 'read']++
        if (header === undefined) continue
        expect(header.length, `seed ${seed}, ${sent.toString('hex')}`).to.be.within(15, Math.min(sent.length, MAX_PROXY_HEADER))
        // What comes in several pieces is the same.
        expect(readProxyHeader(sent.subarray(0, header.length - 1))).to.equal(undefined)
        expect(readProxyHeader(sent.subarray(0, header.length))).to.deep.equal(header)
      } catch (error) {
        if (!(error instanceof ProxyHeaderError)) throw new Error(`seed ${seed}, ${sent.toString('hex')}`, { cause: error })
        counts.refused++
      }
    }
    for (const count of Object.values(counts)) expect(count).to.be.above(1000)
  })
})
