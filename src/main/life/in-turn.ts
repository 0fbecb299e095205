export type Step = readonly [what: string, act: () => unknown]

/** Takes all steps one after the other, whatever becomes of them; never rejects. */
export async function inTurn(steps: readonly Step[], failed: (what: string, error: Error) => void): Promise<void> {
  for (const [what, act] of steps) {
    try {
      await act()
    } catch (error) {
      failed(what, error as Error)
    }
  }
}
