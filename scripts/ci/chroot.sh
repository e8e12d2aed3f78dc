#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A Debian 13 with its Blender 4.3 in a folder: `chroot.sh make DIR`, `chroot.sh mount DIR CHECKOUT`, `chroot.sh unmount DIR`.
# The folder is kept and reused. It is never deleted here while something is mounted in it.
set -euo pipefail

packages=(blender xvfb libgl1-mesa-dri libegl1 xdotool imagemagick python3-numpy python3-requests python3-zstandard)

is_mounted() { grep -q " $1 " /proc/self/mounts; }

make_chroot() {
    local dir=$1
    [ -e "$dir/.complete" ] && return 0
    unmount_chroot "$dir"
    rm -rf --one-file-system "$dir" # what an interrupted run left
    mkdir -p "$dir"
    debootstrap --variant=minbase trixie "$dir"
    mount_system "$dir"
    chroot "$dir" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
    chroot "$dir" apt-get clean
    unmount_chroot "$dir"
    touch "$dir/.complete"
}

mount_system() {
    local dir=$1 part
    for part in proc dev tmp; do
        mkdir -p "$dir/$part"
        is_mounted "$dir/$part" || mount --bind "/$part" "$dir/$part"
    done
}

# The checkout is seen inside under its own path, so that paths mean the same on both sides.
mount_chroot() {
    local dir=$1 checkout=$2
    mount_system "$dir"
    mkdir -p "$dir$checkout"
    is_mounted "$dir$checkout" || mount --bind "$checkout" "$dir$checkout"
    echo "$checkout" >"$dir/.checkout"
    cat >"$dir.blender" <<EOF
#!/bin/sh
exec chroot "$dir" /usr/bin/blender "\$@"
EOF
    chmod +x "$dir.blender"
}

unmount_chroot() {
    local dir=$1 part
    if [ -f "$dir/.checkout" ]; then
        part="$dir$(cat "$dir/.checkout")"
        if is_mounted "$part"; then umount "$part"; fi
    fi
    for part in tmp dev proc; do
        if is_mounted "$dir/$part"; then umount "$dir/$part"; fi
    done
}

case "${1:-}" in
make) make_chroot "$2" ;;
mount) mount_chroot "$2" "$3" ;;
unmount) unmount_chroot "$2" ;;
*)
    echo "usage: chroot.sh make DIR | mount DIR CHECKOUT | unmount DIR" >&2
    exit 2
    ;;
esac
