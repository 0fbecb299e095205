/** Of the page with metrics and health. */
export const MAX_CONNECTIONS = 16
/** That it may come to have: these, and the one that it listens on. */
export const METRICS_DESCRIPTORS = MAX_CONNECTIONS + 1
