/**
 * Shell commands, for a mount namespace of one's own: /etc becomes a copy of itself in this directory, which whoever is
 * inside may change.
 */
export const privateEtc = (dir: string): string => `cp -a /etc "${dir}/all-of-etc" && mount --bind "${dir}/all-of-etc" /etc`
