/** Work for a thread that never comes to its end: it reads a pipe that nobody writes into. */
import { readFileSync } from 'node:fs'
import { offer } from '#main/config/aside.js'

await offer<string>(import.meta.url, path => readFileSync(path, 'utf8'))
