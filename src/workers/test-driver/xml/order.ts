import { isElement, type XmlElement } from './xml.js'

/** The place of a name in an order; those that it does not list come after all others. */
export function place(order: readonly string[], name: string): number {
  const at = order.indexOf(name)
  return at < 0 ? order.length : at
}

/** A copy of the items in that order, if there is one. Those of one place stay as they were. */
export function inOrder<T>(items: readonly T[], order: readonly string[] | undefined, name: (item: T) => string): T[] {
  if (order === undefined) return [...items]
  return [...items].sort((a, b) => place(order, name(a)) - place(order, name(b)))
}

/** Puts the children where libvirt prints them; text counts as an element that is not listed. */
export function orderChildren(of: XmlElement, order: readonly string[]): void {
  of.children = inOrder(of.children, order, child => (isElement(child) ? child.name : ''))
}
