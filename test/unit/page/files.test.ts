import { readdirSync, readFileSync } from 'node:fs'
import { expect } from 'chai'
import { pageFiles } from '#main/page/files.js'

const directory = new URL('../../../../packaging/page/', import.meta.url)

describe('the files of the page', () => {
  const names = readdirSync(directory).filter(name => name !== 'tsconfig.json')
  const texts = new Map(names.map(name => [name, readFileSync(new URL(name, directory), 'utf8')]))
  const scripts = [...texts].filter(([name]) => name.endsWith('.js'))

  it('are all served, as what they are, under the strictest rules', async () => {
    const served = await pageFiles(directory)
    expect([...served.keys()]).to.have.members(names.map(name => (name === 'index.html' ? '/' : `/${name}`)))
    for (const answer of served.values()) {
      const { headers = {}, contentType } = await answer({ headers: {}, query: new URLSearchParams() })
      expect(contentType).to.match(/^(text\/(html|css|javascript); charset=utf-8|image\/svg\+xml)$/)
      const policy = String(headers['Content-Security-Policy'])
      expect(policy.split('; ')).to.include.members([
        'default-src \'none\'', 'script-src \'self\'', 'frame-ancestors \'none\'', 'base-uri \'none\'', 'form-action \'none\'',
        'require-trusted-types-for \'script\''
      ])
      expect(policy).not.to.match(/unsafe|\*|http|data:/)
      expect(headers).to.include({ 'Referrer-Policy': 'no-referrer', 'X-Frame-Options': 'DENY' })
    }
  })

  it('refer to nothing but each other', () => {
    for (const [name, text] of texts) {
      const others = text.replaceAll('http://www.w3.org/2000/svg', '')
      expect(others, name).not.to.match(/https?:|\/\/[a-z]+\.[a-z]|@import|url\(/)
    }
    const links = [...texts.get('index.html')!.matchAll(/(?:href|src)="\/([^"]+)"/g)].map(([, name]) => name)
    expect(links).to.have.members(['icon.svg', 'page.css', 'main.js'])
    for (const [name, text] of scripts) {
      for (const [, file] of text.matchAll(/^import .* from '\.\/(.+)'$/gm)) expect(names, name).to.include(file)
    }
  })

  it('make no program, and no part of a page, of texts', () => {
    expect(texts.get('index.html')).not.to.match(/<script(?! type="module" src=)|\son[a-z]+=|style=|javascript:/i)
    for (const [name, text] of scripts) {
      expect(text, name).not.to.match(/innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function/)
      expect(text, name).not.to.match(/setAttribute\('(on|href|src|style)/)
    }
  })

  it('look up what stands in the page', () => {
    const ids = new Set([...texts.get('index.html')!.matchAll(/id="([^"]+)"/g)].map(([, id]) => id))
    for (const [name, text] of scripts) {
      for (const [, id] of text.matchAll(/(?:byId|makeTable)\('([^']+)'/g)) expect([...ids], name).to.include(id)
    }
  })
})
