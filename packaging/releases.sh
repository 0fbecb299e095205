# Each release has its code in a directory of its own. A package manager takes the old one away when it has unpacked the new
# one, but a broker that runs from there still needs it, to start a thread in the place of one that died.
CODE=/usr/lib/virtbroker

# The pattern is not to find grep itself.
runs() { grep -qs "[/]${1#/}/" /proc/[0-9]*/cmdline; }

# Before it is unpacked: copies, of links, of what runs, but for the release $1 that comes.
keep_running() {
    for release in "$CODE"/*; do
        if [ "$release" != "$CODE/$1" ] && runs "$release"; then
            kept=$CODE/.kept-${release##*/}
            rm -rf "$kept"
            cp -al "$release" "$kept"
        fi
    done
}

# Afterwards: they are in their places again, and what was kept for brokers that have ended since is gone.
settle() {
    for kept in "$CODE"/.kept-*; do
        [ -d "$kept" ] || continue
        release=$CODE/${kept#*/.kept-}
        if [ ! -e "$release" ]; then mv "$kept" "$release"; else rm -rf "$kept"; fi
    done
    for release in "$CODE"/*; do
        [ "$release" = "$CODE/$1" ] || runs "$release" || rm -rf "$release"
    done
}
