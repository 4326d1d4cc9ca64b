#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# debian_root.sh ROOT SUITE INPUT COMMAND...: runs COMMAND on the sources in a bare Debian of that suite
# in the folder ROOT, which is made first if it is not there. ./bootstrap COMMAND --in SUITE and
# tests/fresh call this, as root.
#
# What debootstrap made is kept beside ROOT for some days, in SUITE.bare.tar, for the next new root, and
# so are the packages that apt-get fetches, in ROOT.archives.
#
# INPUT is a folder of what the caller's user has: "sources", "files" to be copied into the root,
# "folders" to be mounted there, one a line, and "environment" to be read by a shell. It is removed at
# the end.
#
# Whatever happens on the way, no mount and no process outlives this: all are in namespaces.

set -eu

# Where the sources are in the root, and what is made from them there, which the next run uses.
# Not in /root: some tests are other users.
checkout=/srv/libmemif-py
made="-path ./build* -o -path ./.venv* -o -path ./dist -o -name __pycache__ -o -name .*_cache
    -o -name .hypothesis"

# For how long another root is made from what debootstrap made.
days_kept=7

say() {
    printf '%s\n' "bootstrap: $*"
}

die() {
    printf '%s\n' "bootstrap: $*" >&2
    exit 1
}

# ---- the sources of packages

# sources_of LABEL: "URI component..." of this machine's source of Debian packages with that label.
sources_of() {
    # shellcheck disable=SC2016 # apt-get's variables
    apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' "Label: $1" |
        awk '!uri { uri = $1 } $1 == uri && !seen[$2]++ { list = list " " $2 }
             END { if (uri) print uri list }'
}

find_mirrors() {
    debian=$(sources_of Debian)
    if [ -z "$debian" ]; then
        # Where packages are from is known only once their lists have been read.
        apt-get -q update >/dev/null 2>&1 || say "going on without some package lists"
        debian=$(sources_of Debian)
    fi
    security=$(sources_of Debian-Security)
    mirror=${debian%% *}
}

write_sources() {
    [ -n "$debian" ] || return 0 # the one that debootstrap chose
    {
        printf '%s\n' "deb $mirror $suite main"
        case $suite in
            sid | unstable) ;;
            *)
                printf '%s\n' "deb $mirror $suite-updates main"
                [ -z "$security" ] || printf '%s\n' "deb ${security%% *} $suite-security main"
                ;;
        esac
    } >"$target/etc/apt/sources.list"
}

# How packages are fetched: proxies, certificates, what is checked. Not the hooks of programs which
# the root does not have.
copy_apt_settings() {
    apt-config dump | grep '^Acquire::' | grep -v '^Acquire::IndexTargets' \
        >"$target/etc/apt/apt.conf.d/99host"
    for path in /etc/apt/auth.conf /etc/apt/auth.conf.d/*; do
        [ ! -f "$path" ] || install -D -m 600 "$path" "$target$path"
    done
}

# ---- the root

make_root() {
    say "making a bare $suite in $target"
    bare=${target%/*}/$suite.bare.tar
    rm -rf "$target.new"
    if [ -z "$(find "$bare" -mtime -"$days_kept" 2>/dev/null)" ]; then
        run_debootstrap
        tar --numeric-owner -C "$target.new" -cf "$target.new.tar" .
        mv "$target.new.tar" "$bare"
    else
        mkdir "$target.new"
        tar --numeric-owner -C "$target.new" -xpf "$bare"
    fi
    mv "$target.new" "$target"
}

run_debootstrap() {
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "${proxy:-}" ] || export http_proxy="${http_proxy:-$proxy}"
    set -- --variant=minbase
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ ! -e $keyring ] || set -- "$@" --keyring=$keyring
    if ! debootstrap "$@" "$suite" "$target.new" ${mirror:+"$mirror"} >"$target.log" 2>&1; then
        cat "$target.log" >&2
        die "making a bare $suite: failed, see above"
    fi
}

# Anew in every run: the machine may have other settings by now.
copy_settings() {
    copy_apt_settings
    # Who loses power here makes a new root.
    echo force-unsafe-io >"$target/etc/dpkg/dpkg.cfg.d/unsafe-io"
    {
        printf '%s\n' /etc/resolv.conf /etc/hosts
        cat "$input/files"
    } | while read -r path; do
        mkdir -p "$target${path%/*}"
        rm -f "$target$path" # a link there might lead out of the root
        cat "$path" >"$target$path"
    done
}

# Only files that differ are written: by its time stamp a build sees what has changed.
copy_sources() {
    mkdir -p "$target$checkout"
    cd "$input/sources"
    find . ! -type d | while read -r path; do
        if ! cmp -s "$path" "$target$checkout/$path"; then
            mkdir -p "$target$checkout/${path%/*}"
            cp -d --preserve=mode --remove-destination "$path" "$target$checkout/$path"
        fi
    done
    cd "$target$checkout"
    set -f
    # shellcheck disable=SC2086 # a list
    find . \( $made \) -prune -o ! -type d -print | while read -r path; do
        [ -e "$input/sources/$path" ] || rm "$path"
    done
    set +f
}

# ---- in the namespaces

mount_all() {
    # Programs in the root may make mounts of their own, which takes a / that is one.
    mount --bind "$target" "$target"
    mount -t proc proc "$target/proc"
    mount --rbind /sys "$target/sys"
    mount --rbind /dev "$target/dev"
    mount -t tmpfs tmpfs "$target/dev/shm"
    mkdir -p "$target.archives"
    find "$target.archives" -name '*.deb' -ctime +"$days_kept" -delete
    mount --bind "$target.archives" "$target/var/cache/apt/archives"
    while read -r path; do
        mkdir -p "$target$path"
        mount --bind -o ro "$path" "$target$path"
    done <"$input/folders"
}

enter() {
    cd "$target"
    # In a mere chroot nobody may make user namespaces, which some tests do.
    if pivot_root . . 2>/dev/null; then
        umount -l .
    fi
    # Not exec: this shell is process 1 of its namespace, which has duties that others do not know.
    # shellcheck disable=SC2016 # of the shell inside
    chroot . /usr/bin/env -i --default-signal=INT,QUIT LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /bin/sh -c '. /srv/environment && mkdir -p "$HOME" && cd "$0" && exec "$@"' \
        "$checkout" "$@"
}

run_inside() {
    find_mirrors
    [ -e "$target" ] || make_root
    write_sources
    copy_settings
    copy_sources
    cp "$input/environment" "$target/srv/environment"
    mount_all
    enter "$@"
}

inside=
if [ "$1" = --inside ]; then
    inside=yes
    shift
fi
target=$1
suite=$2
input=$3
shift 3
if [ -n "$inside" ]; then
    run_inside "$@"
    exit
fi

child=
trap 'rm -rf "$input"; [ -z "$child" ] || kill -KILL "$child" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
[ "$(id -u)" -eq 0 ] || die "a root of another Debian is root's to make and to enter"
[ -e "$target" ] || [ -e "/usr/share/debootstrap/scripts/$suite" ] ||
    die "debootstrap knows no suite $suite: see /usr/share/debootstrap/scripts"
mkdir -p "${target%/*}"
exec 9>"$target.lock"
flock -n 9 || die "$target is in use by another run"
# In the background, so that a signal to this shell ends everything at once.
setpriv --pdeathsig KILL \
    unshare --mount --pid --fork --kill-child --propagation private \
    "$0" --inside "$target" "$suite" "$input" "$@" <&0 &
child=$!
status=0
wait "$child" || status=$?
child=
exit "$status"
