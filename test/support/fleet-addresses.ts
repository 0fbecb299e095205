/** Where the clients of a fleet are, from number 1 on: each has an address of its own. */
export const clientAddress = (number: number): string => `10.9.${number >> 8}.${number & 255}`

export const clientAddresses = (count: number): string[] => Array.from({ length: count }, (_, i) => clientAddress(i + 1))
