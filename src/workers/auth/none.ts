import { AUTH } from '../../protocol/messages/auth.js'
import type { Authentication } from './authentication.js'

/** Every client is in from the start. */
export const noAuthentication: Authentication = {
  list: () => AUTH.none,
  take: () => false,
  end: () => {}
}
