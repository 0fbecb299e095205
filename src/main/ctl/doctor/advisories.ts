/** A release of libvirt: major, minor, micro. */
export type Release = readonly [number, number, number]

/** What libvirt's release notes list under "Security". */
interface Advisory {
  readonly id: string
  /** The first release that it concerns, where the notes say so. */
  readonly since?: Release
  /** The first that it does not concern any more. */
  readonly fixed: Release
  /** The driver daemons that have the part that it is about; undefined: all. A monolithic libvirtd has all parts. */
  readonly daemons?: readonly string[]
}

/** https://libvirt.org/news.html, as of libvirt 12.8. */
const ADVISORIES: readonly Advisory[] = [
  { id: 'CVE-2026-18917', fixed: [12, 7, 0] },
  { id: 'CVE-2026-77158', fixed: [12, 7, 0], daemons: ['virtqemud'] },
  { id: 'CVE-2026-77159', fixed: [12, 7, 0], daemons: ['virtqemud'] },
  { id: 'CVE-2025-12748', fixed: [11, 10, 0] },
  { id: 'CVE-2025-13193', fixed: [11, 10, 0], daemons: ['virtqemud'] },
  { id: 'CVE-2024-8235', since: [10, 4, 0], fixed: [10, 7, 0], daemons: ['virtinterfaced'] },
  { id: 'CVE-2024-2494', fixed: [10, 2, 0] },
  { id: 'CVE-2024-1441', since: [1, 0, 0], fixed: [10, 1, 0], daemons: ['virtinterfaced'] },
  { id: 'CVE-2023-3750', since: [8, 3, 0], fixed: [9, 6, 0], daemons: ['virtstoraged'] },
  { id: 'CVE-2021-4147', fixed: [8, 0, 0], daemons: ['virtxend'] },
  { id: 'CVE-2021-3667', fixed: [7, 6, 0], daemons: ['virtstoraged'] },
  { id: 'CVE-2021-3631', fixed: [7, 5, 0], daemons: ['virtqemud'] }
]

export const NEWS = 'https://libvirt.org/news.html'

/** Those that libvirt's notes list for later releases than this one. A distribution may have carried the changes over. */
export const advisoriesFor = (daemon: string, release: Release): string[] =>
  ADVISORIES.filter(({ since, fixed, daemons }) => {
    const concerned = daemons === undefined || daemon === 'libvirtd' || daemons.includes(daemon)
    return concerned && isBefore(release, fixed) && !(since !== undefined && isBefore(release, since))
  }).map(({ id }) => id)

function isBefore(one: Release, other: Release): boolean {
  const place = one.findIndex((part, at) => part !== other[at])
  return place >= 0 && one[place]! < other[place]!
}

/** The release that a daemon's `--version` names. */
export function releaseOf(text: string): Release | undefined {
  const found = /\(libvirt\) (\d+)\.(\d+)\.(\d+)/.exec(text)
  return found === null ? undefined : [Number(found[1]), Number(found[2]), Number(found[3])]
}
