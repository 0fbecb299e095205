/** As many bytes, no two parts of which are equal. */
export function pattern(size: number, seed = 0): Buffer {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = i * 7 + (i >> 8) + seed
  return bytes
}
