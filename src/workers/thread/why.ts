/** Why clients are closed, in the words of the log, where nothing is the matter with them. */
export const WHY = {
  stops: 'the broker stops',
  shutdown: 'shutdown',
  administrator: 'disconnected by the administrator',
  makesRoom: 'not logged in, closed to make room for others',
  certificate: "authentication failed: Failed to verify peer's certificate"
} as const
