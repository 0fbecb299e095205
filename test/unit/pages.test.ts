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

/** What operators follow. */
const FOLLOWED = [
  'README.md', 'docs/install.md', 'docs/migrate.md', 'docs/secure.md', 'docs/upgrade.md', 'docs/troubleshooting.md', 'docs/tls.md',
  'docs/authentication.md'
]
/** Commands that no test runs as they stand in a page. Each has a reason there. */
const NOT_RUN: Record<string, number> = { 'README.md': 2, 'docs/install.md': 2, 'docs/troubleshooting.md': 1 }

describe('the commands of the pages for operators', () => {
  const blocks = (page: string): string[] =>
    Array.from(readFileSync(join(root, page), 'utf8').matchAll(/^```(.*)\n[^]*?^```$/gm), ([, info]) => info!)
  const suites = ['interop', 'interop/troubles'].flatMap(dir => readdirSync(join(root, 'test', dir)).filter(name => name.endsWith('.ts'))
    .map(name => readFileSync(join(root, 'test', dir, name), 'utf8')))

  for (const page of FOLLOWED) {
    const found = blocks(page)

    it(`(${page}) are run by a test, or say why not`, () => {
      const name = page.replace(/^docs\/|\.md$/g, '')
      const own = suites.filter(text => text.includes(`'${name}'`) || text.includes(`'${name}.md'`))
      const steps = found.flatMap(info => /^sh step=(\S+)( fails)?$/.exec(info)?.[1] ?? [])
      // Of two tools that lead to the same, a test takes one after the other.
      const isTaken = (step: string): boolean =>
        own.some(text => text.includes(`'${step}'`) || text.includes(`\`\${tool}-${step.replace(/^(certtool|openssl)-/, '')}\``))
      expect(steps.filter(step => !isTaken(step))).to.deep.equal([])
    })

    it(`(${page}) stand in blocks of a known kind`, () => {
      const known = /^(sh step=\S+( fails)?|sh not-run="[^"]+"|text output|text trouble=\S+)$/
      expect(found.filter(info => info !== '' && !known.test(info))).to.deep.equal([])
    })

    it(`(${page}) are all run but for ${NOT_RUN[page] ?? 0} blocks`, () => {
      expect(found.filter(info => info.startsWith('sh not-run=')).length).to.equal(NOT_RUN[page] ?? 0)
    })
  }
})
