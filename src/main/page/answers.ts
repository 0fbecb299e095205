import type { Answer, Find } from '../metrics/server.js'
import type { Access } from './access.js'
import { SAFETY, pageFiles } from './files.js'
import type { Look } from './look.js'
import { clientQuery } from './query.js'

const DIRECTORY = new URL('../../../packaging/page/', import.meta.url)
/** What the page asks for once a second. */
const STATE = '/api/state'

/** The page, its parts, and what it shows; each for those alone who may see it. Rejects if it is not installed. */
export async function pageAnswers(look: Look, access: Access): Promise<Find> {
  const files = await pageFiles(DIRECTORY)
  const state: Answer = async ({ query }) =>
    ({ status: 200, contentType: 'application/json', body: JSON.stringify(await look.state(clientQuery(query))), headers: SAFETY })
  const all = new Map([...files, [STATE, state]])
  const guarded = new Map([...all].map(([path, answer]) => [path, access.guarded(answer)]))
  return path => (access.offered ? guarded.get(path) : undefined)
}
