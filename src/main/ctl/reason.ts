/** Why something did not work. */
export const reasonOfFailure = (error: unknown): string => (error instanceof Error ? error.message : String(error))
