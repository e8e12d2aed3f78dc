#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A Debian with its Blender in a folder, and a program that starts that Blender: trixie has 4.3, sid the newest.
#   chroot.sh make SUITE DIR                makes DIR, or leaves it as it is where it is complete
#   chroot.sh program DIR CHECKOUT FILE     writes FILE, which runs the Blender of DIR with the CHECKOUT and /tmp in sight
#   chroot.sh runner DIR CHECKOUT FILE      the same for any program of DIR: FILE's first argument
#
# /proc, /dev, /tmp and the checkout are mounted into the folder in a mount namespace of each process that needs them: no other
# process sees these mounts, and they are gone with it, however it ends. So nothing is left to unmount, and nothing that is
# deleted here can reach through a mount. Needs root and util-linux.
set -euo pipefail

packages=(blender xvfb libgl1-mesa-dri libegl1 xdotool imagemagick python3-numpy python3-requests python3-zstandard python3-cattr)
packages+=(dbus-daemon dunst libnotify-bin fonts-dejavu-core) # a desktop, as far as notifications go

fail() {
    echo "chroot.sh: $1" >&2
    exit 1
}

said() {
    tail -n 30 "$1" >&2
    fail "the system in the chroot could not be made; all of what was said is in $1"
}

# Removing a folder recursively would go through a bind mount, also with --one-file-system where both are one file system.
remove() {
    local dir=$1 inside
    inside=$(awk -v dir="$dir/" 'index($5 "/", dir) == 1 { print $5 }' /proc/self/mountinfo)
    [ -z "$inside" ] || fail "$dir is not removed, because something is mounted in it: $inside. Unmount it first."
    rm -rf --one-file-system "$dir"
}

make_chroot() {
    local suite=$1 dir=$2
    mkdir -p "$(dirname "$dir")"
    exec 9>"$dir.lock"
    flock 9 # a second run waits for the first one's folder
    if [ "$(cat "$dir/.complete" 2>/dev/null || true)" = "${packages[*]}" ]; then
        echo "$dir is complete."
        return
    fi
    remove "$dir"
    remove "$dir.making" # what an interrupted run left
    # What the installers say goes into a file; it is shown where something goes wrong.
    debootstrap --variant=minbase "$suite" "$dir.making" >"$dir.log" 2>&1 || said "$dir.log"
    # Packages must not start services on this machine.
    printf '#!/bin/sh\nexit 101\n' >"$dir.making/usr/sbin/policy-rc.d"
    chmod +x "$dir.making/usr/sbin/policy-rc.d"
    mount --bind /proc "$dir.making/proc"
    mount --bind /dev "$dir.making/dev"
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    chroot "$dir.making" "${install[@]}" install -y --no-install-recommends "${packages[@]}" >>"$dir.log" 2>&1 || said "$dir.log"
    chroot "$dir.making" apt-get clean
    umount "$dir.making/dev" "$dir.making/proc"
    echo "${packages[*]}" >"$dir.making/.complete"
    mv "$dir.making" "$dir"
}

write_program() {
    local dir=$1 checkout=$2 file=$3 program=$4
    mkdir -p "$dir$checkout" # seen inside under its own path, so that paths mean the same on both sides
    cat >"$file" <<END
#!/bin/sh
exec unshare --mount sh -ec '
    dir=\$1 checkout=\$2
    shift 2
    for part in /proc /dev /tmp "\$checkout"; do mount --bind "\$part" "\$dir\$part"; done
    exec chroot "\$dir" /usr/bin/$program "\$@"
' sh '$dir' '$checkout' "\$@"
END
    chmod +x "$file"
}

[ "$(id -u)" = 0 ] || fail "needs root, to mount and to chroot"
case "${1:-}:$#" in
make:3)
    # Once more inside a mount namespace of its own.
    [ -n "${MOTION_QUEUE_MOUNTS_APART:-}" ] || MOTION_QUEUE_MOUNTS_APART=1 exec unshare --mount "$0" "$@"
    make_chroot "$2" "$3"
    ;;
program:4) write_program "$2" "$3" "$4" blender ;;
runner:4) write_program "$2" "$3" "$4" env ;;
*)
    echo "usage: chroot.sh make SUITE DIR | program DIR CHECKOUT FILE | runner DIR CHECKOUT FILE" >&2
    exit 2
    ;;
esac
