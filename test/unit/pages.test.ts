import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect } from 'chai'

const root = new URL('../../../', import.meta.url).pathname
const pages = ['', 'docs'].flatMap(dir => readdirSync(join(root, dir)).filter(name => name.endsWith('.md')).map(name => join(dir, name)))

/** Without what stands in blocks of code, which is no link and no title. */
const prose = (page: string): string => readFileSync(join(root, page), 'utf8').replace(/^```[^]*?^```$/gm, '')

/** Where a page leads to: files of this project, with the place in them. */
function targets(page: string): { file: string; anchor: string | undefined }[] {
  const links = prose(page).replace(/`[^`\n]*`/g, 'code').matchAll(/\]\(([^)\s]+)\)/g)
  return Array.from(links, ([, target]) => target!).filter(target => !/^[a-z]+:/.test(target)).map(target => {
    const [path, anchor] = target.split('#')
    return { file: path === '' ? page : join(dirname(page), path!), anchor }
  })
}

/** The places in a page that can be linked to, as GitHub names them. */
function anchors(page: string): Set<string> {
  const titles = Array.from(prose(page).matchAll(/^#+ (.+)$/gm), ([, title]) => title!)
  const seen = new Map<string, number>()
  return new Set(titles.map(title => {
    const name = title.toLowerCase().replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-')
    const before = seen.get(name) ?? 0
    seen.set(name, before + 1)
    return before === 0 ? name : `${name}-${before}`
  }))
}

describe('the pages', () => {
  for (const page of pages) {
    it(`(${page}) lead to files and titles that are there`, () => {
      const dead = targets(page).filter(({ file, anchor }) =>
        !existsSync(join(root, file)) || (anchor !== undefined && !anchors(file).has(anchor)))
      expect(dead).to.deep.equal([])
    })
  }

  it('are all reached from the README', () => {
    const reached = new Set(['README.md'])
    for (const page of reached) {
      for (const { file } of targets(page)) if (file.endsWith('.md')) reached.add(file)
    }
    expect(pages.filter(page => !reached.has(page))).to.deep.equal([])
  })
})
