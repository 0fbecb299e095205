/**
 * Clients choose parts of what is shown, and must not be able to steer a terminal: control characters, and those that change
 * the direction of writing, break lines or show nothing.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

export const printable = (text: string): string => text.replace(UNPRINTABLE, '?')

/** JSON has other words for all of these. */
export const printableJson = (value: unknown, indent = 0): string =>
  JSON.stringify(value ?? null, undefined, indent).replace(/[^\n\p{L}\p{N}\p{P}\p{S} ]/gu, escaped)

const escaped = (character: string): string =>
  Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')
