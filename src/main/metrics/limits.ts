/** Of the page with metrics and health. */
export const MAX_CONNECTIONS = 16
/** For a moment, before the one too many is closed. */
export const MOST_AT_ONCE = 2 * MAX_CONNECTIONS
/** That it may come to have: these, and the one that it listens on. */
export const METRICS_DESCRIPTORS = MOST_AT_ONCE + 1
